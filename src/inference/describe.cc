#include "inference/describe.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/strings.h"
#include "engines/llama_server.h"
#include "models/memory_estimate.h"

namespace llm::inference {
namespace {

const engines::EngineReport* report_of(const std::vector<engines::EngineReport>& reports, std::string_view key) {
  const auto found = std::ranges::find(reports, key, &engines::EngineReport::key);
  return found == reports.end() ? nullptr : &*found;
}

std::string_view mode_text(const router::CatalogueEntry& entry) {
  if (entry.spec->external) return "external";
  switch (engines::effective_mode(entry.spec->settings, entry.spec->facts)) {
    case engines::EngineMode::kEmbedding:
      return "embedding";
    case engines::EngineMode::kRerank:
      return "rerank";
    default:
      return "generation";
  }
}

}  // namespace

json::object usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

json::object loading_event(std::string_view model, const engines::LoadProgress& progress) {
  return {{"status", "loading"}, {"model", model}, {"phase", progress.phase}, {"progress", progress.fraction}};
}

json::object model_summary(const router::CatalogueEntry& entry, const std::vector<engines::EngineReport>& reports,
                           const router::CatalogueSnapshot& snapshot) {
  const auto& spec = *entry.spec;
  const auto* report = report_of(reports, spec.key);
  json::array aliases;
  for (const auto& [alias, target] : snapshot.aliases) {
    if (target == entry.name) aliases.emplace_back(alias);
  }
  json::object summary{{"name", spec.model},
                       {"mode", mode_text(entry)},
                       {"state", report ? engines::to_string(report->status.state) : "stopped"},
                       {"external", entry.external.empty() ? json::value() : json::value(entry.external)},
                       {"aliases", std::move(aliases)}};
  if (entry.manifest.size == 0) return summary;
  const auto& manifest = entry.manifest;
  summary["version"] = manifest.name.version;
  summary["model_version"] = entry.version;
  summary["kind"] = models::to_string(manifest.kind);
  summary["revision"] = manifest.revision;
  summary["creator"] = manifest.creator;
  summary["notes"] = manifest.notes;
  summary["version_id"] = entry.version;
  summary["kind"] = models::to_string(manifest.kind);
  summary["digest"] = manifest.digest.to_string();
  summary["size"] = manifest.size;
  summary["source"] = manifest.source;
  summary["license"] = manifest.license;
  summary["created"] = manifest.created;
  summary["architecture"] = manifest.facts.architecture;
  summary["parameters"] = manifest.facts.parameters;
  summary["quantisation"] = manifest.facts.quantisation;
  summary["context_length"] = manifest.facts.context_length;
  return summary;
}

json::object model_details(const router::CatalogueEntry& entry, const std::vector<engines::EngineReport>& reports,
                           const router::CatalogueSnapshot& snapshot) {
  json::object details = model_summary(entry, reports, snapshot);
  const auto& spec = *entry.spec;
  details["settings"] = json::encode(spec.settings);
  if (!spec.external) {
    details["chat_template"] = spec.facts.chat_template;
    const auto context = engines::wanted_context(spec.settings, spec.facts);
    const auto estimate =
        models::estimate_memory(spec.facts, {.context = std::uint64_t{context} * spec.settings.parallel,
                                             .parallel = spec.settings.parallel,
                                             .ubatch = spec.settings.ubatch,
                                             .cache_type_k = spec.settings.cache_type_k,
                                             .cache_type_v = spec.settings.cache_type_v});
    if (estimate) {
      details["estimate"] = json::object{{"context", context},
                                         {"weights_bytes", estimate->weights},
                                         {"kv_cache_bytes", estimate->kv_cache},
                                         {"compute_bytes", estimate->compute},
                                         {"total_bytes", estimate->total + spec.settings.cache_ram.bytes}};
    }
  }
  const auto* report = report_of(reports, spec.key);
  details["engine"] = report ? json::value(engine_json(*report)) : json::value();
  return details;
}

json::object engine_json(const engines::EngineReport& report) {
  const auto& status = report.status;
  json::object engine{
      {"model", report.model},
      {"key", report.key},
      {"state", engines::to_string(status.state)},
      {"phase", status.progress.phase},
      {"progress", status.progress.fraction},
      {"in_flight", report.in_flight},
      {"memory_bytes", report.memory_used},
      {"memory_estimate_bytes", report.memory_estimate},
      {"restarts", report.restarts},
      {"keep_alive_s", report.keep_alive.never() ? -1.0 : static_cast<double>(report.keep_alive.ms) / 1000},
      {"idle_s", static_cast<double>(report.idle_ms) / 1000}};
  if (status.state == engines::EngineState::kReady) {
    engine["pid"] = status.info.pid;
    engine["context"] = status.info.context;
    engine["slots"] = status.info.slots;
    engine["endpoint"] = status.info.endpoint.text();
  }
  if (status.state == engines::EngineState::kFailed) {
    engine["error"] = json::object{{"message", status.error.message}, {"code", describe(status.error.code).name}};
  }
  return engine;
}

json::array gpus() {
  json::array found;
  std::error_code error;
  for (const auto& card : std::filesystem::directory_iterator("/proc/driver/nvidia/gpus", error)) {
    json::object gpu{{"bus", card.path().filename().string()}};
    std::ifstream information(card.path() / "information");
    std::string line;
    while (std::getline(information, line)) {
      const auto colon = line.find(':');
      if (colon == std::string::npos) continue;
      const std::string_view value = trim(std::string_view(line).substr(colon + 1));
      if (line.starts_with("Model")) gpu["name"] = value;
      if (line.starts_with("GPU UUID")) gpu["uuid"] = value;
    }
    found.push_back(std::move(gpu));
  }
  return found;
}

}  // namespace llm::inference
