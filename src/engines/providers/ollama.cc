#include "engines/providers/ollama.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>

namespace llm::engines::ollama {
namespace {

constexpr std::chrono::milliseconds kLoadTime{600'000};
constexpr std::chrono::milliseconds kPullStall{300'000};  // Ollama checks what it has before it reports anything
constexpr std::chrono::milliseconds kUnloadTime{10'000};
constexpr std::chrono::milliseconds kBetweenLooks{100};

json::value text_or_null(const json::object& object, std::string_view key) {
  const std::string_view text = json::string_or(object, key);
  return text.empty() ? json::value() : json::value(text);
}

// Models of one of its lists, by name.
std::map<std::string, json::object> by_name(const json::value& answer) {
  std::map<std::string, json::object> out;
  const json::array* models = list_in(answer, "models");
  if (models == nullptr) return out;
  for (const json::value& model : *models) {
    if (!model.is_object()) continue;
    const std::string_view name = json::string_or(model.get_object(), "name");
    if (!name.empty()) out[std::string(name)] = model.get_object();
  }
  return out;
}

json::object described(const std::string& name, const json::object& model, const json::object* running) {
  json::object out{{"name", name},
                   {"size_bytes", json::int_or(model, "size")},
                   {"digest", text_or_null(model, "digest")},
                   {"modified", text_or_null(model, "modified_at")}};
  if (const json::value* details = json::find(model, "details"); details != nullptr && details->is_object()) {
    out["family"] = text_or_null(details->get_object(), "family");
    out["parameters"] = text_or_null(details->get_object(), "parameter_size");
    out["quantisation"] = text_or_null(details->get_object(), "quantization_level");
  }
  out["loaded"] = running != nullptr;
  if (running != nullptr) {
    out["memory_bytes"] = json::int_or(*running, "size");
    out["gpu_bytes"] = json::int_or(*running, "size_vram");
    out["expires"] = text_or_null(*running, "expires_at");
  }
  return out;
}

Task<Result<std::map<std::string, json::object>>> running(const ProviderClient& client, CancelToken cancel) {
  auto answer = co_await client.ask({.target = "/api/ps"}, std::move(cancel));
  if (!answer) co_return fail(std::move(answer.error()));
  co_return by_name(*answer);
}

// An empty request for text only changes how long the model stays. A model for vectors refuses it and takes the one
// for vectors instead.
Task<Result<void>> touch(const ProviderClient& client, std::string model, std::optional<std::string> keep_alive,
                         std::chrono::milliseconds most, CancelToken cancel) {
  json::object body{{"model", model}, {"stream", false}};
  if (keep_alive) body["keep_alive"] = *keep_alive;
  const auto call = [&](std::string target, json::object sent) {
    return ProviderCall{
        .method = "POST", .target = std::move(target), .body = std::move(sent), .head_timeout = most, .most = most};
  };
  const auto answer = co_await client.ask(call("/api/generate", body), cancel);
  if (answer) co_return Result<void>();
  const bool no_text = answer.error().code == ErrorCode::kInvalidArgument &&
                       answer.error().message.find("does not support generate") != std::string::npos;
  if (!no_text) co_return fail(answer.error());
  body["input"] = json::array();
  body.erase("stream");
  const auto embedded = co_await client.ask(call("/api/embed", std::move(body)), cancel);
  if (!embedded) co_return fail(embedded.error());
  co_return Result<void>();
}

Result<PullProgress> progress_of(const json::object& line) {
  if (const std::string_view error = json::string_or(line, "error"); !error.empty()) {
    const bool absent = error.find("file does not exist") != std::string_view::npos ||
                        error.find("not found") != std::string_view::npos;
    return fail(absent ? ErrorCode::kNotFound : ErrorCode::kEngineFailed, fmt::format("Ollama: {}", error));
  }
  const auto bytes = [&line](std::string_view key) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, json::int_or(line, key)));
  };
  return PullProgress{std::string(json::string_or(line, "status")), bytes("completed"), bytes("total")};
}

}  // namespace

Task<Result<json::object>> list(const ProviderClient& client, CancelToken cancel) {
  auto version = co_await client.ask({.target = "/api/version"}, cancel);
  if (!version) co_return fail(std::move(version.error()));
  auto tags = co_await client.ask({.target = "/api/tags"}, cancel);
  if (!tags) co_return fail(std::move(tags.error()));
  auto loaded = co_await running(client, cancel);
  if (!loaded) co_return fail(std::move(loaded.error()));
  json::array models;
  for (const auto& [name, model] : by_name(*tags)) {
    const auto found = loaded->find(name);
    models.push_back(described(name, model, found == loaded->end() ? nullptr : &found->second));
  }
  json::object out;
  if (version->is_object()) out["version"] = text_or_null(version->get_object(), "version");
  out["models"] = std::move(models);
  co_return out;
}

Task<Result<void>> pull(const ProviderClient& client, std::string model, OnPull on_progress, CancelToken cancel) {
  bool done = false;
  const ProviderCall call{.method = "POST",
                          .target = "/api/pull",
                          .body = json::object{{"model", model}, {"stream", true}},
                          .head_timeout = kPullStall,
                          .most = std::chrono::milliseconds(0)};
  // Lives in this frame until ask_lines has ended.
  const auto take = [&done, &on_progress](json::object line) -> Task<Result<void>> {
    auto progress = progress_of(line);
    if (!progress) co_return fail(std::move(progress.error()));
    done = progress->status == "success";
    if (!on_progress) co_return Result<void>();
    co_return co_await on_progress(std::move(*progress));
  };
  auto ended = co_await client.ask_lines(call, take, std::move(cancel));
  if (ended && !done) co_return fail(ErrorCode::kEngineFailed, "Ollama ended the pull before it was done");
  co_return ended;
}

Task<Result<void>> remove(const ProviderClient& client, std::string model, CancelToken cancel) {
  const ProviderCall call{.method = "DELETE", .target = "/api/delete", .body = json::object{{"model", model}}};
  const auto answer = co_await client.ask(call, std::move(cancel));
  if (!answer) co_return fail(answer.error());
  co_return Result<void>();
}

Task<Result<void>> load(const ProviderClient& client, std::string model, std::optional<json::Duration> keep_alive,
                        CancelToken cancel) {
  std::optional<std::string> kept;
  if (keep_alive) kept = keep_alive->never() ? "-1s" : fmt::format("{}ms", keep_alive->ms);
  co_return co_await touch(client, std::move(model), std::move(kept), kLoadTime, std::move(cancel));
}

Task<Result<void>> unload(const ProviderClient& client, std::string model, CancelToken cancel) {
  co_return co_await touch(client, std::move(model), "0s", kUnloadTime, std::move(cancel));
}

Task<Result<std::uint64_t>> unload_idle(Loop& loop, net::HttpClient& client, ProviderSettings settings,
                                        std::vector<std::string> keep, CancelToken cancel) {
  const auto made = ProviderClient::make(loop, client, settings);
  if (!made) co_return fail(made.error());
  auto before = co_await running(*made, cancel);
  if (!before) co_return fail(std::move(before.error()));
  std::erase_if(*before, [&keep](const auto& model) { return std::ranges::find(keep, model.first) != keep.end(); });
  for (const auto& [name, model] : *before) {
    if (auto gone = co_await unload(*made, name, cancel); !gone) co_return fail(std::move(gone.error()));
  }
  // What its memory list no longer names has given its memory back.
  std::uint64_t freed = 0;
  for (int look = 0; !before->empty() && look < kUnloadTime / kBetweenLooks; ++look) {
    auto still = co_await running(*made, cancel);
    if (!still) co_return fail(std::move(still.error()));
    std::erase_if(*before, [&](const auto& model) {
      if (still->contains(model.first)) return false;
      freed += static_cast<std::uint64_t>(std::max<std::int64_t>(0, json::int_or(model.second, "size")));
      return true;
    });
    if (!before->empty() && !co_await sleep_for(kBetweenLooks)) break;
  }
  co_return freed;
}

}  // namespace llm::engines::ollama
