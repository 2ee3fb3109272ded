#include "engines/memory_learned.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <system_error>

#include "json/json.h"

namespace llm::engines {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t kMostEntries = 500;
// A measurement that is further from the estimate than this is of something else, or wrong.
constexpr double kLeastFactor = 0.5;
constexpr double kMostFactor = 4.0;
constexpr double kWorthWriting = 0.02;

double scaled(double bytes, double factor) {
  return std::min(bytes * factor, 0x1p62);
}

// What the places that belong together were expected to take; the prompt cache apart.
struct Expected {
  double fixed = 0;
  double cache = 0;
};
Expected expected(const MemoryPlan& plan, bool devices) {
  Expected sums;
  for (const auto& line : plan.lines) {
    if (line.device.has_value() != devices) continue;
    (line.kind == MemoryKind::kHostCache ? sums.cache : sums.fixed) += static_cast<double>(line.bytes);
  }
  return sums;
}

// How far the estimate was off; what lies between it and "with a full prompt cache" may be the cache.
double factor_of(const Expected& expected, double peak) {
  if (expected.fixed <= 0) return 1;
  double factor = 1;
  if (peak <= expected.fixed) {
    factor = peak / expected.fixed;
  } else if (peak > expected.fixed + expected.cache) {
    factor = (peak - expected.cache) / expected.fixed;
  }
  return std::clamp(factor, kLeastFactor, kMostFactor);
}

}  // namespace

LearnedMemory::LearnedMemory(fs::path file) : file_(std::move(file)) {
  load();
}

// All that moves the amounts. The key's "#n" does not: replicas are equal.
std::string LearnedMemory::fingerprint(const EngineSpec& spec) {
  const auto model = spec.key.substr(0, spec.replica > 0 ? spec.key.rfind('#') : std::string::npos);
  if (spec.vllm) {
    const auto& v = *spec.vllm;
    return fmt::format("{} vllm model={} rev={} tp={} pp={} dp={} util={} len={} seqs={} quant={} kv={}", model,
                       v.model, v.revision, v.tensor_parallel_size, v.pipeline_parallel_size, v.data_parallel_size,
                       v.gpu_memory_utilization, v.max_model_len, v.max_num_seqs, v.quantization, v.kv_cache_dtype);
  }
  const auto& s = spec.settings;
  return fmt::format("{} size={} ctx={} slots={} ub={} k={} v={} fa={} layers={}", model, spec.facts.tensor_bytes,
                     s.context, s.parallel, s.ubatch, s.cache_type_k, s.cache_type_v,
                     static_cast<int>(s.flash_attention), s.gpu_layers);
}

MemoryPlan LearnedMemory::corrected(const EngineSpec& spec, MemoryPlan plan) const {
  const auto known = factors_.find(fingerprint(spec));
  if (known == factors_.end()) return plan;
  for (auto& line : plan.lines) {
    if (line.kind == MemoryKind::kHostCache) continue;
    const double factor = line.device ? known->second.device : known->second.host;
    if (factor != 1) line.bytes = static_cast<std::uint64_t>(scaled(static_cast<double>(line.bytes), factor));
  }
  return plan;
}

void LearnedMemory::learn(const EngineSpec& spec, const MemoryPlan& plan, const MemoryDemand& peak, bool served) {
  const auto name = fingerprint(spec);
  const auto known = factors_.find(name);
  Factors factors = known == factors_.end() ? Factors{} : known->second;
  const auto take = [served](double& factor, double measured) {
    if (measured > factor || (served && measured < factor)) factor = measured;
  };
  if (peak.host > 0) take(factors.host, factor_of(expected(plan, false), static_cast<double>(peak.host)));
  // vLLM takes the share of the GPU that it is told to, so there is nothing to learn.
  if (!spec.vllm && !peak.devices.empty()) {
    double used = 0;
    for (const auto& [device, bytes] : peak.devices) used += static_cast<double>(bytes);
    take(factors.device, factor_of(expected(plan, true), used));
  }
  const bool news = known == factors_.end() || std::abs(factors.host - known->second.host) > kWorthWriting ||
                    std::abs(factors.device - known->second.device) > kWorthWriting;
  if (!news) return;
  factors.used_at = ++clock_;
  factors_[name] = factors;
  changed_ = true;
  if (factors_.size() > kMostEntries) {
    factors_.erase(std::ranges::min_element(factors_, {}, [](const auto& entry) { return entry.second.used_at; }));
  }
}

void LearnedMemory::placed(const std::string& key, const std::vector<std::uint32_t>& gpus) {
  auto& last = placements_[key];
  if (last == gpus) return;
  last = gpus;
  changed_ = true;
  if (placements_.size() > kMostEntries) placements_.erase(placements_.begin());
}

std::vector<std::uint32_t> LearnedMemory::last_placement(const std::string& key) const {
  const auto found = placements_.find(key);
  return found == placements_.end() ? std::vector<std::uint32_t>{} : found->second;
}

void LearnedMemory::load() {
  if (file_.empty()) return;
  std::ifstream in(file_, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const auto document = json::parse(text);
  if (!document || !document->is_object()) return;
  const auto& root = document->get_object();
  if (const auto* factors = json::find(root, "factors"); factors && factors->is_object()) {
    for (const auto& [name, entry] : factors->get_object()) {
      if (!entry.is_object()) continue;
      const auto number = [&](std::string_view field) {
        return std::clamp(json::number_or(entry.get_object(), field, 1), kLeastFactor, kMostFactor);
      };
      const auto at = std::max<std::int64_t>(json::int_or(entry.get_object(), "at"), 0);
      factors_[std::string(name)] = {number("host"), number("device"), static_cast<std::uint64_t>(at)};
      clock_ = std::max(clock_, static_cast<std::uint64_t>(at));
    }
  }
  if (const auto* placements = json::find(root, "gpus"); placements && placements->is_object()) {
    for (const auto& [key, list] : placements->get_object()) {
      if (!list.is_array()) continue;
      auto& gpus = placements_[std::string(key)];
      for (const auto& gpu : list.get_array()) {
        if (gpu.is_int64() && gpu.get_int64() >= 0) gpus.push_back(static_cast<std::uint32_t>(gpu.get_int64()));
      }
    }
  }
}

bool LearnedMemory::save() {
  if (file_.empty() || !changed_) return true;
  json::object factors;
  for (const auto& [name, entry] : factors_) {
    factors[name] = json::object{{"host", entry.host}, {"device", entry.device}, {"at", entry.used_at}};
  }
  json::object placements;
  for (const auto& [key, gpus] : placements_) {
    json::array list;
    for (const auto gpu : gpus) list.emplace_back(std::int64_t{gpu});
    placements[key] = std::move(list);
  }
  const fs::path next = file_.string() + ".new";
  std::ofstream out(next, std::ios::binary | std::ios::trunc);
  out << json::write(json::object{{"factors", std::move(factors)}, {"gpus", std::move(placements)}}) << '\n';
  out.close();
  std::error_code error;
  if (out.fail()) {
    fs::remove(next, error);
    return false;
  }
  fs::rename(next, file_, error);
  if (error) return false;
  changed_ = false;
  return true;
}

}  // namespace llm::engines
