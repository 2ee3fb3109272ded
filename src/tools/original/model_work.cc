#include "tools/original/model_work.h"

#include <utility>

#include "tools/call_progress.h"
#include "tools/original/provider_work.h"
#include "tools/results.h"

namespace llm::tools::original {
namespace {

enum class Provider { kAll, kOwn, kExternal };

Result<Provider> provider_of(std::string_view text, std::string_view pointer) {
  const std::string name = to_lower(text);
  const auto is = [&](std::initializer_list<std::string_view> names) {
    return std::ranges::find(names, std::string_view(name)) != names.end();
  };
  if (is({"", "all"})) return Provider::kAll;
  if (is({"llama.cpp", "llama", "llamacpp", "llama_cpp", "local"})) return Provider::kOwn;
  if (is({"external"})) return Provider::kExternal;
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("there is no \"{}\" here; there is llama.cpp (this gateway's own models), ollama, "
                          "lmstudio, vllm and external",
                          text.substr(0, 128)),
              std::string(pointer));
}

}  // namespace

Task<Result<Answer>> load(OriginalContext context, std::optional<std::string> model, mcp::ToolCall call) {
  const auto api = context.tools.api(call);
  auto name = co_await model_or_default(api, std::move(model));
  if (!name) co_return fail(std::move(name.error()));
  CallProgress progress(call, context.tools.settings.progress_interval, CallProgress::Unit::kPercent);
  auto answer = co_await api->load_model({{"model", *name}}, progress.sink(), call.cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  const LoadOutput output = read_load(*answer);
  announce_model(context.tools.changes, output.model, false);
  co_return Answer{fmt::format("{} is {}", output.model, output.state), json::encode(output)};
}

Task<Result<Answer>> unload(OriginalContext context, std::optional<std::string> model, mcp::ToolCall call) {
  const auto api = context.tools.api(call);
  auto name = co_await model_or_loaded(api, std::move(model));
  if (!name) co_return fail(std::move(name.error()));
  auto answer = co_await api->unload_model({{"model", *name}});
  if (!answer) co_return fail(std::move(answer.error()));
  const UnloadOutput output = read_unload(*answer);
  announce_model(context.tools.changes, output.model, false);
  co_return Answer{fmt::format("{} is {}", output.model, output.state), json::encode(output)};
}

Task<Result<Answer>> unload_idle(OriginalContext context, mcp::ToolCall call) {
  const auto api = context.tools.api(call);
  auto answer = co_await api->engines();
  if (!answer) co_return fail(std::move(answer.error()));
  json::array unloaded;
  json::array kept;
  for (const EngineEntry& engine : read_engines(*answer).engines) {
    if (engine.state == "stopped" || engine.state == "failed") continue;
    if (engine.in_flight.value_or(0) > 0) {
      kept.emplace_back(engine.model);
      continue;
    }
    auto done = co_await api->unload_model({{"model", engine.model}});
    if (!done && done.error().code == ErrorCode::kConflict) {  // somebody uses it since
      kept.emplace_back(engine.model);
      continue;
    }
    if (!done) co_return fail(std::move(done.error()));
    announce_model(context.tools.changes, engine.model, false);
    unloaded.emplace_back(engine.model);
  }
  std::string message = fmt::format("unloaded {} models", unloaded.size());
  if (!kept.empty()) message += fmt::format(", left {} that are in use", kept.size());
  co_return Answer{std::move(message), {{"unloaded", std::move(unloaded)}, {"in_use", std::move(kept)}}};
}

Task<Result<Answer>> pull(OriginalContext context, std::string source, std::optional<std::string> name,
                          mcp::ToolCall call) {
  const auto api = context.tools.api(call);
  json::object request{{"source", std::move(source)}};
  if (name && !name->empty()) request["name"] = std::move(*name);
  CallProgress progress(call, context.tools.settings.progress_interval, CallProgress::Unit::kBytes);
  auto answer = co_await api->pull_model(std::move(request), progress.sink(), call.cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  const ModelEntry output = read_model(*answer);
  announce_model(context.tools.changes, output.name, true);
  co_return Answer{fmt::format("{} is installed", output.name), json::encode(output)};
}

Task<Result<Answer>> list(OriginalContext context, std::string provider, std::string pointer, mcp::ToolCall call) {
  if (const OtherEngine other = other_engine(provider); other != OtherEngine::kNone) {
    co_return co_await list_of(std::move(context), other, std::move(call));
  }
  const auto wanted = provider_of(provider, pointer);
  if (!wanted) co_return fail(wanted.error());
  const auto api = context.tools.api(call);
  auto answer = co_await api->list_models();
  if (!answer) co_return fail(std::move(answer.error()));
  ModelList output = read_model_list(*answer);
  if (*wanted != Provider::kAll) {
    std::erase_if(output.models, [&](const ModelEntry& model) {
      return model.external.value_or(false) != (*wanted == Provider::kExternal);
    });
  }
  co_return Answer{fmt::format("{} models", output.models.size()), json::encode(output)};
}

}  // namespace llm::tools::original
