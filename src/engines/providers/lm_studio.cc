#include "engines/providers/lm_studio.h"

#include <algorithm>
#include <fmt/format.h>

namespace llm::engines::lm_studio {
namespace {

constexpr std::chrono::milliseconds kLoadTime{600'000};
constexpr std::chrono::milliseconds kBetweenLooks{500};

// LM Studio answers a path that it does not know with status 200 and an error.
bool unknown_path(const Result<json::value>& answer) {
  return answer && answer->is_object() &&
         json::string_or(answer->get_object(), "error").find("Unexpected endpoint") != std::string_view::npos;
}

Result<json::value> checked(Result<json::value> answer) {
  if (unknown_path(answer)) {
    return fail(ErrorCode::kUnsupported, "this LM Studio cannot be asked for that; version 0.4 or newer can");
  }
  return answer;
}

// Of a call that names a model: what is not found is that.
Result<json::value> checked_model(Result<json::value> answer) {
  answer = checked(std::move(answer));
  if (!answer && answer.error().code == ErrorCode::kNotFound) return fail(std::move(answer.error()).at("/model"));
  return answer;
}

json::object described(const json::object& model) {
  json::array instances;
  if (const json::value* loaded = json::find(model, "loaded_instances"); loaded != nullptr && loaded->is_array()) {
    for (const json::value& one : loaded->get_array()) {
      if (one.is_object()) instances.emplace_back(json::string_or(one.get_object(), "id"));
    }
  }
  json::object out{
      {"name", json::string_or(model, "key")},  {"size_bytes", json::int_or(model, "size_bytes")},
      {"type", json::string_or(model, "type")}, {"context_length", json::int_or(model, "max_context_length")},
      {"loaded", !instances.empty()},           {"instances", std::move(instances)}};
  if (const auto size = json::string_or(model, "params_string"); !size.empty()) out["parameters"] = size;
  const json::value* quantisation = json::find(model, "quantization");
  if (quantisation != nullptr && quantisation->is_object()) {
    out["quantisation"] = json::string_or(quantisation->get_object(), "name");
  }
  return out;
}

// Version 0 of the API: {"object":"list","data":[{"id","type","quantization","state":"loaded","max_context_length"}]}
json::object described_v0(const json::object& model) {
  const bool loaded = json::string_or(model, "state") == "loaded";
  json::array instances;
  if (loaded) instances.emplace_back(json::string_or(model, "id"));
  return {{"name", json::string_or(model, "id")},
          {"type", json::string_or(model, "type")},
          {"quantisation", json::string_or(model, "quantization")},
          {"context_length", json::int_or(model, "max_context_length")},
          {"loaded", loaded},
          {"instances", std::move(instances)}};
}

Task<Result<json::object>> list_v0(const ProviderClient& client, CancelToken cancel) {
  auto answer = checked(co_await client.ask({.target = "/api/v0/models"}, std::move(cancel)));
  if (!answer) co_return fail(std::move(answer.error()));
  json::array models;
  if (const json::array* data = list_in(*answer, "data")) {
    for (const json::value& model : *data) {
      if (model.is_object()) models.push_back(described_v0(model.get_object()));
    }
  }
  co_return json::object{{"models", std::move(models)}};
}

// A name or address as one part of a path.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// Is the download over? An error: it failed.
Result<bool> is_over(const json::object& job) {
  const std::string_view status = json::string_or(job, "status");
  if (status == "completed" || status == "already_downloaded") return true;
  if (status == "failed") return fail(ErrorCode::kEngineFailed, "LM Studio says that the download failed");
  if (status == "paused") return fail(ErrorCode::kConflict, "somebody paused the download in LM Studio");
  if (status != "downloading") return fail(ErrorCode::kEngineFailed, "LM Studio does not say how the download is");
  return false;
}

}  // namespace

Task<Result<json::object>> list(const ProviderClient& client, CancelToken cancel) {
  const auto answer = co_await client.ask({.target = "/api/v1/models"}, cancel);
  const bool absent = !answer && answer.error().code == ErrorCode::kNotFound;
  if (absent || unknown_path(answer)) co_return co_await list_v0(client, std::move(cancel));
  if (!answer) co_return fail(answer.error());
  json::array models;
  if (const json::array* listed = list_in(*answer, "models")) {
    for (const json::value& model : *listed) {
      if (model.is_object()) models.push_back(described(model.get_object()));
    }
  }
  co_return json::object{{"models", std::move(models)}};
}

Task<Result<json::object>> load(const ProviderClient& client, std::string model, std::uint32_t context,
                                CancelToken cancel) {
  json::object body{{"model", model}};
  if (context > 0) body["context_length"] = context;
  const ProviderCall call{.method = "POST",
                          .target = "/api/v1/models/load",
                          .body = std::move(body),
                          .head_timeout = kLoadTime,
                          .most = kLoadTime};
  const auto answer = checked_model(co_await client.ask(call, std::move(cancel)));
  if (!answer) co_return fail(answer.error());
  if (!answer->is_object()) co_return fail(ErrorCode::kEngineFailed, "LM Studio does not say what it loaded");
  const json::object& loaded = answer->get_object();
  co_return json::object{
      {"instance", json::string_or(loaded, "instance_id", json::string_or(loaded, "model_instance_id"))},
      {"seconds", json::number_or(loaded, "load_time_seconds")}};
}

Task<Result<json::object>> unload(const ProviderClient& client, std::string model, CancelToken cancel) {
  const auto listed = co_await list(client, cancel);
  if (!listed) co_return fail(listed.error());
  std::vector<std::string> wanted;
  const json::value whole(*listed);
  for (const json::value& one : *list_in(whole, "models")) {
    const json::object& described_model = one.get_object();
    for (const json::value& id : described_model.at("instances").get_array()) {
      const std::string instance(id.get_string());
      if (instance == model || json::string_or(described_model, "name") == model) wanted.push_back(instance);
    }
  }
  if (wanted.empty()) {
    co_return fail(ErrorCode::kNotFound, fmt::format("LM Studio has no model \"{}\" in its memory", model), "/model");
  }
  json::array unloaded;
  for (const std::string& instance : wanted) {
    const ProviderCall call{
        .method = "POST", .target = "/api/v1/models/unload", .body = json::object{{"instance_id", instance}}};
    const auto answer = checked_model(co_await client.ask(call, cancel));
    if (!answer) co_return fail(answer.error());
    unloaded.emplace_back(instance);
  }
  co_return json::object{{"instances", std::move(unloaded)}};
}

Task<Result<void>> download(const ProviderClient& client, std::string model, OnDownload on_progress,
                            CancelToken cancel) {
  const ProviderCall begin{
      .method = "POST", .target = "/api/v1/models/download", .body = json::object{{"model", model}}};
  auto answer = checked_model(co_await client.ask(begin, cancel));
  std::string job;
  while (true) {
    if (!answer) co_return fail(answer.error());
    if (!answer->is_object()) co_return fail(ErrorCode::kEngineFailed, "LM Studio does not say how the download is");
    const json::object& status = answer->get_object();
    const auto over = is_over(status);
    if (!over) co_return fail(over.error());
    const auto bytes = [&status](std::string_view key) {
      return static_cast<std::uint64_t>(std::max<std::int64_t>(0, json::int_or(status, key)));
    };
    if (on_progress) {
      auto told = co_await on_progress(bytes("downloaded_bytes"), bytes("total_size_bytes"));
      if (!told) co_return told;
    }
    if (*over) co_return Result<void>();
    if (job.empty()) job = json::string_or(status, "job_id");
    if (job.empty()) co_return fail(ErrorCode::kEngineFailed, "LM Studio does not name the download");
    // sleep_for hears a cancel of the coroutine, this token is the caller's.
    if (cancel.cancelled() || !co_await sleep_for(kBetweenLooks)) co_return fail(ErrorCode::kCancelled, "given up");
    answer = checked_model(co_await client.ask({.target = "/api/v1/models/download/status/" + escaped(job)}, cancel));
  }
}

}  // namespace llm::engines::lm_studio
