// Tools about the models: what there is, getting, loading and unloading. Removing is in remove_tool.cc.
#include <utility>

#include "tools/arguments.h"
#include "tools/call_progress.h"
#include "tools/model_names.h"
#include "tools/results.h"
#include "tools/tool_families.h"

namespace llm::tools {
namespace {

constexpr mcp::ToolHints kReadsOnly{.read_only = true, .destructive = false, .idempotent = true, .open_world = false};

constexpr ToolDescription kList{
    .name = "llm_list_models",
    .title = "List local models",
    .description =
        "The models that llm_chat, llm_generate, llm_embed and llm_rerank can use: names, what they are for (mode), "
        "size, context length, which are loaded, and which is the default. Call it before naming a model.",
    .hints = kReadsOnly,
    .picture = Picture::kModel};

constexpr ToolDescription kInfo{
    .name = "llm_model_info",
    .title = "Describe a local model",
    .description =
        "Everything known about one model: the entry of llm_list_models, how it is loaded, the memory it is "
        "expected to need, and the process that runs it.",
    .hints = kReadsOnly,
    .picture = Picture::kModel};

constexpr ToolDescription kLoad{
    .name = "llm_load_model",
    .title = "Load a model",
    .description =
        "Load a model into memory now, so that the next llm_chat or llm_generate answers at once. Not "
        "necessary before other calls: they load what they need. May unload models that are not in use.",
    .hints = {.read_only = false, .destructive = false, .idempotent = true, .open_world = false},
    .picture = Picture::kModel,
    .span = Span::kLong};

constexpr ToolDescription kUnload{
    .name = "llm_unload_model",
    .title = "Unload a model",
    .description =
        "Free the memory of a loaded model. It stays installed and is loaded again when used. Waits for requests that "
        "use it, unless force is set.",
    .hints = {.read_only = false, .destructive = true, .idempotent = true, .open_world = false},
    .picture = Picture::kModel};

constexpr ToolDescription kPull{
    .name = "llm_pull_model",
    .title = "Download a model",
    .description =
        "Download a model (a GGUF file, often several gigabytes) and install it on this machine. Only when the "
        "user wants it: it takes minutes and disk space. A download that was cut off goes on where it stopped.",
    .hints = {.read_only = false, .destructive = false, .idempotent = true, .open_world = true},
    .picture = Picture::kDownload,
    .span = Span::kResumable};

Task<Result<mcp::ToolResult>> list_models(ToolContext context, NoArguments, mcp::ToolCall call) {
  const auto api = context.api(call);
  auto answer = co_await api->list_models();
  if (!answer) co_return fail(std::move(answer.error()));
  co_return result_of(read_model_list(*answer));
}

Task<Result<mcp::ToolResult>> model_info(ToolContext context, ModelInfoArguments arguments, mcp::ToolCall call) {
  const auto api = context.api(call);
  auto name = co_await model_or_default(api, std::move(arguments.model));
  if (!name) co_return fail(std::move(name.error()));
  auto answer = co_await api->model_info(std::move(*name));
  if (!answer) co_return fail(std::move(answer.error()));
  ModelInfo output = read_model_info(*answer);
  if (!arguments.include_chat_template) output.chat_template.reset();
  co_return result_of(output);
}

Task<Result<mcp::ToolResult>> load_model(ToolContext context, LoadArguments arguments, mcp::ToolCall call) {
  const auto api = context.api(call);
  auto name = co_await model_or_default(api, arguments.model);
  if (!name) co_return fail(std::move(name.error()));
  arguments.model = std::move(*name);
  CallProgress progress(call, context.settings.progress_interval, CallProgress::Unit::kPercent);
  auto answer = co_await api->load_model(json::encode(arguments), progress.sink(), call.cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  const LoadOutput output = read_load(*answer);
  announce_model(context.changes, output.model, false);
  co_return result_of(output);
}

Task<Result<mcp::ToolResult>> unload_model(ToolContext context, UnloadArguments arguments, mcp::ToolCall call) {
  const auto api = context.api(call);
  auto name = co_await model_or_loaded(api, arguments.model);
  if (!name) co_return fail(std::move(name.error()));
  arguments.model = std::move(*name);
  auto answer = co_await api->unload_model(json::encode(arguments));
  if (!answer) co_return fail(std::move(answer.error()));
  const UnloadOutput output = read_unload(*answer);
  announce_model(context.changes, output.model, false);
  co_return result_of(output);
}

Task<Result<mcp::ToolResult>> pull_model(ToolContext context, PullArguments arguments, mcp::ToolCall call) {
  const auto api = context.api(call);
  CallProgress progress(call, context.settings.progress_interval, CallProgress::Unit::kBytes);
  auto answer = co_await api->pull_model(json::encode(arguments), progress.sink(), call.cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  const ModelEntry output = read_model(*answer);
  announce_model(context.changes, output.name, true);
  co_return result_of(output);
}

}  // namespace

Result<void> add_model_tools(mcp::ToolRegistry& registry, const ToolContext& context) {
  Result<void> added = add_tool<NoArguments, ModelList>(registry, context, kList, list_models);
  if (added) added = add_tool<ModelInfoArguments, ModelInfo>(registry, context, kInfo, model_info);
  if (added) added = add_tool<LoadArguments, LoadOutput>(registry, context, kLoad, load_model);
  if (added) added = add_tool<UnloadArguments, UnloadOutput>(registry, context, kUnload, unload_model);
  if (added) added = add_tool<PullArguments, ModelEntry>(registry, context, kPull, pull_model);
  return added;
}

}  // namespace llm::tools
