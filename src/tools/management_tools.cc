#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <limits>
#include <utility>

#include "tools/arguments.h"
#include "tools/call_progress.h"
#include "tools/results.h"
#include "tools/tool_families.h"

namespace llm::tools {
namespace {

constexpr mcp::ToolHints kReadsOnly{.read_only = true, .destructive = false, .idempotent = true, .open_world = false};

constexpr ToolDescription kList{
    .name = "llm_list_models",
    .title = "List local models",
    .description =
        "The models that llm_chat, llm_generate and llm_embed can use: names, what they are for (mode), size, "
        "context length, and which are loaded. Call it before naming a model.",
    .hints = kReadsOnly};

constexpr ToolDescription kInfo{
    .name = "llm_model_info",
    .title = "Describe a local model",
    .description =
        "Everything known about one model: the entry of llm_list_models, how it is loaded, the memory it is "
        "expected to need, and the process that runs it.",
    .hints = kReadsOnly};

constexpr ToolDescription kLoad{
    .name = "llm_load_model",
    .title = "Load a model",
    .description =
        "Load a model into memory now, so that the next llm_chat or llm_generate answers at once. Not "
        "necessary before other calls: they load what they need. May unload models that are not in use.",
    .hints = {.read_only = false, .destructive = false, .idempotent = true, .open_world = false}};

constexpr ToolDescription kUnload{
    .name = "llm_unload_model",
    .title = "Unload a model",
    .description =
        "Free the memory of a loaded model. It stays installed and is loaded again when used. Fails while "
        "requests use it, unless force is set.",
    .hints = {.read_only = false, .destructive = true, .idempotent = true, .open_world = false}};

constexpr ToolDescription kPull{
    .name = "llm_pull_model",
    .title = "Download a model",
    .description =
        "Download a model (a GGUF file, often several gigabytes) and install it on this machine. Only when the "
        "user wants it: it takes minutes and disk space. A download that was cut off goes on where it stopped.",
    .hints = {.read_only = false, .destructive = false, .idempotent = true, .open_world = true}};

constexpr ToolDescription kStatus{
    .name = "llm_status",
    .title = "State of the local LLM gateway",
    .description =
        "What is going on: loaded models and what they are doing, failures and their reasons, requests in "
        "flight, memory, processors and GPUs of the machine. Use it when a call fails or is slow.",
    .hints = kReadsOnly};

// What the gateway takes where a request to generate names no model: its default, else the smallest there is. Loading
// and describing have to name one.
Task<Result<std::string>> model_or_default(ToolContext context, std::optional<std::string> wanted) {
  if (wanted && !wanted->empty()) co_return std::move(*wanted);
  auto answer = co_await context.api->list_models();
  if (!answer) co_return fail(std::move(answer.error()));
  if (const auto configured = json::string_or(*answer, "default"); !configured.empty()) {
    co_return std::string(configured);
  }
  const ModelList list = read_model_list(*answer);
  if (list.models.empty()) {
    co_return fail(ErrorCode::kNotFound, "no model is installed; llm_pull_model downloads one", "/model");
  }
  const auto size = [](const ModelEntry& model) {
    return model.size.value_or(std::numeric_limits<std::int64_t>::max());
  };
  co_return std::ranges::min_element(list.models, {}, size)->name;
}

// The one model that is loaded.
Task<Result<std::string>> model_or_loaded(ToolContext context, std::optional<std::string> wanted) {
  if (wanted && !wanted->empty()) co_return std::move(*wanted);
  auto answer = co_await context.api->engines();
  if (!answer) co_return fail(std::move(answer.error()));
  std::vector<std::string> loaded;
  for (auto& engine : read_status({}, *answer).engines) {
    if (engine.state != "stopped" && engine.state != "failed") loaded.push_back(std::move(engine.model));
  }
  if (loaded.size() == 1) co_return std::move(loaded.front());
  if (loaded.empty()) co_return fail(ErrorCode::kConflict, "no model is loaded", "/model");
  co_return fail(ErrorCode::kInvalidArgument,
                 fmt::format("say which model to unload; loaded are {}", fmt::join(loaded, ", ")), "/model");
}

Task<Result<mcp::ToolResult>> list_models(ToolContext context, NoArguments, mcp::ToolCall) {
  auto answer = co_await context.api->list_models();
  if (!answer) co_return fail(std::move(answer.error()));
  co_return result_of(read_model_list(*answer));
}

Task<Result<mcp::ToolResult>> model_info(ToolContext context, ModelInfoArguments arguments, mcp::ToolCall) {
  auto name = co_await model_or_default(context, std::move(arguments.model));
  if (!name) co_return fail(std::move(name.error()));
  auto answer = co_await context.api->model_info(std::move(*name));
  if (!answer) co_return fail(std::move(answer.error()));
  ModelInfo output = read_model_info(*answer);
  if (!arguments.include_chat_template) output.chat_template.reset();
  co_return result_of(output);
}

Task<Result<mcp::ToolResult>> load_model(ToolContext context, LoadArguments arguments, mcp::ToolCall call) {
  auto name = co_await model_or_default(context, arguments.model);
  if (!name) co_return fail(std::move(name.error()));
  arguments.model = std::move(*name);
  CallProgress progress(call.progress, context.settings.progress_interval, CallProgress::Unit::kPercent);
  auto answer = co_await context.api->load_model(json::encode(arguments), progress.sink(), call.cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  co_return result_of(read_load(*answer));
}

Task<Result<mcp::ToolResult>> unload_model(ToolContext context, UnloadArguments arguments, mcp::ToolCall) {
  auto name = co_await model_or_loaded(context, arguments.model);
  if (!name) co_return fail(std::move(name.error()));
  arguments.model = std::move(*name);
  auto answer = co_await context.api->unload_model(json::encode(arguments));
  if (!answer) co_return fail(std::move(answer.error()));
  co_return result_of(read_unload(*answer));
}

Task<Result<mcp::ToolResult>> pull_model(ToolContext context, PullArguments arguments, mcp::ToolCall call) {
  CallProgress progress(call.progress, context.settings.progress_interval, CallProgress::Unit::kBytes);
  auto answer = co_await context.api->pull_model(json::encode(arguments), progress.sink(), call.cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  co_return result_of(read_model(*answer));
}

Task<Result<mcp::ToolResult>> status(ToolContext context, NoArguments, mcp::ToolCall) {
  auto answer = co_await context.api->status();
  if (!answer) co_return fail(std::move(answer.error()));
  auto engines = co_await context.api->engines();
  if (!engines) co_return fail(std::move(engines.error()));
  co_return result_of(read_status(*answer, *engines));
}

}  // namespace

Result<void> add_management_tools(mcp::ToolRegistry& registry, ToolContext context) {
  Result<void> added = add_tool<NoArguments, ModelList>(registry, context, kList, list_models);
  if (added) added = add_tool<ModelInfoArguments, ModelInfo>(registry, context, kInfo, model_info);
  if (added) added = add_tool<LoadArguments, LoadOutput>(registry, context, kLoad, load_model);
  if (added) added = add_tool<UnloadArguments, UnloadOutput>(registry, context, kUnload, unload_model);
  if (added) added = add_tool<PullArguments, ModelEntry>(registry, context, kPull, pull_model);
  if (added) added = add_tool<NoArguments, StatusOutput>(registry, context, kStatus, status);
  return added;
}

}  // namespace llm::tools
