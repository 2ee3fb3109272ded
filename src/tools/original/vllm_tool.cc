// llm_vllm.
#include <utility>

#include "tools/call_progress.h"
#include "tools/model_names.h"
#include "tools/original/arguments.h"
#include "tools/original/original_tools.h"
#include "tools/original/vllm_work.h"

namespace llm::tools::original {
namespace {

constexpr std::string_view kNone =
    "no vLLM engine is configured; engines.vllm.NAME in the configuration names one with its model, and \"llm-mcp "
    "engine plan NAME\" shows what would be started. A vLLM that runs by itself is a provider: providers.NAME with "
    "preset vllm";

// The names of an engine, as its entry and as its model is called.
bool is_called(const json::object& engine, std::string_view name) {
  return json::string_or(engine, "name") == name || json::string_or(engine, "model") == name;
}

const json::array& engines_in(const json::object& answer) {
  static const json::array none;
  const json::value* list = json::find(answer, "engines");
  return list != nullptr && list->is_array() ? list->get_array() : none;
}

Task<Result<std::string>> only_one(SharedApi api, std::string_view argument, CancelToken cancel) {
  const auto answer = co_await api->operate("engine.list", {}, {}, std::move(cancel));
  if (!answer) co_return fail(answer.error());
  std::vector<std::string> names;
  for (const json::value& engine : engines_in(*answer)) {
    if (engine.is_object()) names.emplace_back(json::string_or(engine.get_object(), "name"));
  }
  if (names.size() == 1) co_return names.front();
  if (names.empty()) co_return fail(ErrorCode::kNotFound, std::string(kNone), "/operation");
  co_return fail(ErrorCode::kInvalidArgument, fmt::format("which one? There are {}", fmt::join(names, ", ")),
                 fmt::format("/{}", argument));
}

std::string_view done_by(std::string_view operation) {
  if (operation == "engine.start") return "is started";
  if (operation == "engine.stop") return "is stopped";
  return operation == "engine.plan" ? "would be run so" : "in numbers";
}

Task<Result<Answer>> engines(OriginalContext context, VllmArguments arguments, mcp::ToolCall call) {
  co_return co_await vllm_engines(std::move(context), std::move(arguments.model_name), std::move(call));
}
Task<Result<Answer>> start(OriginalContext context, VllmArguments arguments, mcp::ToolCall call) {
  co_return co_await vllm_change(std::move(context), "engine.start", std::move(arguments.model_name), "model_name",
                                 std::move(call));
}
Task<Result<Answer>> stop(OriginalContext context, VllmArguments arguments, mcp::ToolCall call) {
  co_return co_await vllm_change(std::move(context), "engine.stop", std::move(arguments.model_name), "model_name",
                                 std::move(call));
}
Task<Result<Answer>> metrics(OriginalContext context, VllmArguments arguments, mcp::ToolCall call) {
  co_return co_await vllm_change(std::move(context), "engine.metrics", std::move(arguments.model_name), "model_name",
                                 std::move(call));
}
Task<Result<Answer>> config(OriginalContext context, VllmArguments arguments, mcp::ToolCall call) {
  co_return co_await vllm_change(std::move(context), "engine.plan", std::move(arguments.model_name), "model_name",
                                 std::move(call));
}
Task<Result<Answer>> update_config(OriginalContext, VllmArguments, mcp::ToolCall) {
  co_return fail(ErrorCode::kUnsupported,
                 "how vLLM runs a model is a setting of the gateway's owner: engines.vllm.NAME in the configuration; "
                 "\"llm-mcp engine plan NAME\" checks it and shows what it comes to",
                 "/operation");
}

using enum access::Permission;

constexpr Operation<VllmArguments> kOperations[] = {
    {"list_models", "the engines that vLLM runs, with their models", kEnginesRead, engines},
    {"load_model", "serve one with vLLM (model_name)", kModelsWrite, start},
    {"unload_model", "stop serving one (model_name)", kModelsWrite, stop},
    {"get_status", "state of vLLM (model_name)", kEnginesRead, engines},
    {"get_metrics", "numbers of one engine (model_name)", kEnginesRead, metrics},
    {"start_server", "the same as load_model", kModelsWrite, start},
    {"stop_server", "the same as unload_model", kModelsWrite, stop},
    {"get_server_status", "the same as get_status", kEnginesRead, engines},
    {"get_config", "how one is run (model_name)", kEnginesRead, config},
    {"update_config", "not possible here", kModelsWrite, update_config},
};

}  // namespace

Task<Result<Answer>> vllm_engines(OriginalContext context, std::optional<std::string> name, mcp::ToolCall call) {
  const auto api = context.tools.api(call);
  auto answer = co_await api->operate("engine.list", {}, {}, call.cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  json::array found;
  for (const json::value& engine : engines_in(*answer)) {
    if (engine.is_object() && (!name || name->empty() || is_called(engine.get_object(), *name)))
      found.push_back(engine);
  }
  if (found.empty() && name && !name->empty()) {
    co_return fail(ErrorCode::kNotFound, fmt::format("vLLM runs nothing called \"{}\" here", *name), "/model_name");
  }
  std::string message = found.empty() ? std::string(kNone) : fmt::format("{} vLLM engines", found.size());
  (*answer)["engines"] = std::move(found);
  co_return Answer{std::move(message), std::move(*answer)};
}

Task<Result<Answer>> vllm_change(OriginalContext context, std::string_view operation, std::optional<std::string> name,
                                 std::string_view argument, mcp::ToolCall call) {
  const auto api = context.tools.api(call);
  if (!name || name->empty()) {
    auto only = co_await only_one(api, argument, call.cancel);
    if (!only) co_return fail(std::move(only.error()));
    name = std::move(*only);
  }
  CallProgress progress(call, context.tools.settings.progress_interval, CallProgress::Unit::kPercent);
  auto answer = co_await api->operate(std::string(operation), {{"name", *name}}, progress.sink(), call.cancel);
  if (!answer) {
    Error error = std::move(answer.error());
    if (error.pointer == "/name") error.pointer = fmt::format("/{}", argument);
    co_return fail(std::move(error));
  }
  co_return Answer{fmt::format("{} {}", *name, done_by(operation)), std::move(*answer)};
}

Result<void> add_vllm(mcp::Server& server, const ToolContext& context) {
  return add_portmanteau<VllmArguments>(
      server, context,
      {{.name = "llm_vllm",
        .title = "vLLM",
        .description = "The vLLM engines of the gateway: containers or processes that serve models on GPUs.",
        .hints = {.read_only = false, .destructive = true, .idempotent = true, .open_world = false},
        .picture = Picture::kModel,
        .span = Span::kLong},
       {"llm_vllm_tool"}},
      kOperations);
}

}  // namespace llm::tools::original
