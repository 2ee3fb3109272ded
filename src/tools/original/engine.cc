// llm_engine and llm_gpu.
#include <utility>

#include "tools/original/arguments.h"
#include "tools/original/model_work.h"
#include "tools/original/original_tools.h"
#include "tools/original/provider_work.h"
#include "tools/results.h"

namespace llm::tools::original {
namespace {

Task<Result<Answer>> status(OriginalContext context, EngineArguments arguments, mcp::ToolCall call) {
  if (const OtherEngine other = other_engine(arguments.engine); other != OtherEngine::kNone) {
    co_return co_await list_of(std::move(context), other, std::move(call));
  }
  // What is asked about has to be there; the answer of the list is not needed.
  auto known = co_await list(context, arguments.engine, "/engine", call);
  if (!known) co_return fail(std::move(known.error()));
  const auto api = context.tools.api(call);
  auto answer = co_await api->engines();
  if (!answer) co_return fail(std::move(answer.error()));
  EngineList output = read_engines(*answer);
  if (arguments.model && !arguments.model->empty()) {
    std::erase_if(output.engines, [&](const EngineEntry& engine) { return engine.model != *arguments.model; });
  }
  const auto ready = std::ranges::count(output.engines, "ready", &EngineEntry::state);
  co_return Answer{fmt::format("{} engines, {} ready", output.engines.size(), ready), json::encode(output)};
}

// The engine that is meant is one that this gateway can work with.
Task<Result<Answer>> checked(OriginalContext context, std::string engine, mcp::ToolCall call) {
  co_return co_await list(std::move(context), std::move(engine), "/engine", std::move(call));
}

Task<Result<Answer>> start(OriginalContext context, EngineArguments arguments, mcp::ToolCall call) {
  if (const OtherEngine other = other_engine(arguments.engine); other != OtherEngine::kNone) {
    co_return co_await change_model(std::move(context), {.engine = other, .what = "load", .model = arguments.model},
                                    std::move(call));
  }
  auto known = co_await checked(context, arguments.engine, call);
  if (!known) co_return fail(std::move(known.error()));
  co_return co_await load(std::move(context), std::move(arguments.model), std::move(call));
}

Task<Result<Answer>> stop(OriginalContext context, EngineArguments arguments, mcp::ToolCall call) {
  if (const OtherEngine other = other_engine(arguments.engine); other != OtherEngine::kNone) {
    co_return co_await change_model(std::move(context), {.engine = other, .what = "unload", .model = arguments.model},
                                    std::move(call));
  }
  auto known = co_await checked(context, arguments.engine, call);
  if (!known) co_return fail(std::move(known.error()));
  if (arguments.model && !arguments.model->empty()) {
    co_return co_await unload(std::move(context), std::move(arguments.model), std::move(call));
  }
  co_return co_await unload_idle(std::move(context), std::move(call));
}

Task<Result<Answer>> list_models(OriginalContext context, EngineArguments arguments, mcp::ToolCall call) {
  co_return co_await checked(std::move(context), std::move(arguments.engine), std::move(call));
}

Task<Result<Answer>> unload_model(OriginalContext context, EngineArguments arguments, mcp::ToolCall call) {
  if (const OtherEngine other = other_engine(arguments.engine); other != OtherEngine::kNone) {
    co_return co_await change_model(std::move(context), {.engine = other, .what = "unload", .model = arguments.model},
                                    std::move(call));
  }
  auto known = co_await checked(context, arguments.engine, call);
  if (!known) co_return fail(std::move(known.error()));
  co_return co_await unload(std::move(context), std::move(arguments.model), std::move(call));
}

Task<Result<json::array>> gpus_of(OriginalContext context, mcp::ToolCall call) {
  const auto api = context.tools.api(call);
  auto answer = co_await api->operate("gpu.list", {}, {}, call.cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  const json::value* gpus = json::find(*answer, "gpus");
  co_return gpus != nullptr && gpus->is_array() ? gpus->get_array() : json::array();
}

constexpr std::string_view kNoGpu = "there is no GPU that the gateway can use; models run on the processor";

Task<Result<Answer>> gpu_status(OriginalContext context, GpuArguments arguments, mcp::ToolCall call) {
  auto gpus = co_await gpus_of(std::move(context), std::move(call));
  if (!gpus) co_return fail(std::move(gpus.error()));
  if (gpus->empty()) co_return Answer{std::string(kNoGpu), {{"gpus", json::array()}}};
  if (static_cast<std::size_t>(arguments.gpu_id) >= gpus->size()) {
    co_return fail(ErrorCode::kNotFound, fmt::format("there are GPUs 0 to {}", gpus->size() - 1), "/gpu_id");
  }
  const json::value gpu = gpus->at(static_cast<std::size_t>(arguments.gpu_id));
  co_return Answer{fmt::format("GPU {} of {}", arguments.gpu_id, gpus->size()),
                   {{"gpu", gpu}, {"gpus", std::move(*gpus)}}};
}

// Of each GPU what there is to say against it; nothing: all is well.
json::array complaints(const json::array& gpus) {
  json::array out;
  for (const json::value& gpu : gpus) {
    if (!gpu.is_object()) continue;
    const json::object& one = gpu.get_object();
    const std::int64_t total = json::int_or(one, "memory_total");
    const std::int64_t free = total - json::int_or(one, "memory_used");
    if (total > 0 && free * 20 < total) {
      out.emplace_back(fmt::format("{}: less than 5 % of its memory is free; clear_memory unloads what is idle",
                                   json::string_or(one, "name", "a GPU")));
    }
  }
  return out;
}

Task<Result<Answer>> gpu_health(OriginalContext context, GpuArguments, mcp::ToolCall call) {
  auto gpus = co_await gpus_of(std::move(context), std::move(call));
  if (!gpus) co_return fail(std::move(gpus.error()));
  json::array found = complaints(*gpus);
  std::string message = fmt::format("{} GPUs, all with memory to spare", gpus->size());
  if (gpus->empty()) message = kNoGpu;
  if (!found.empty()) message = fmt::format("{} of {} GPUs are short of memory", found.size(), gpus->size());
  co_return Answer{std::move(message),
                   {{"healthy", found.empty()}, {"complaints", std::move(found)}, {"gpus", std::move(*gpus)}}};
}

Task<Result<Answer>> clear_memory(OriginalContext context, GpuArguments, mcp::ToolCall call) {
  co_return co_await unload_idle(std::move(context), std::move(call));
}

// The gateway reckons each model's memory by itself; what is left to do by hand is to let go of what is idle.
Task<Result<Answer>> optimize(OriginalContext context, GpuArguments, mcp::ToolCall call) {
  auto cleared = co_await unload_idle(context, call);
  if (!cleared) co_return fail(std::move(cleared.error()));
  auto gpus = co_await gpus_of(std::move(context), std::move(call));
  if (!gpus) co_return fail(std::move(gpus.error()));
  cleared->data["gpus"] = std::move(*gpus);
  co_return std::move(*cleared);
}

using enum access::Permission;

constexpr Operation<EngineArguments> kEngineOperations[] = {
    {"status", "what each engine is doing (the default)", kEnginesRead, status},
    {"start", "load a model (model)", kModelsWrite, start},
    {"stop", "unload a model (model), or all that are idle", kModelsWrite, stop},
    {"list_models", "models an engine can run", kModelsRead, list_models},
    {"load_model", "load a model (model)", kModelsWrite, start},
    {"unload_model", "unload a model (model)", kModelsWrite, unload_model},
};

constexpr Operation<GpuArguments> kGpuOperations[] = {
    {"get_status", "one GPU in numbers (gpu_id)", kEnginesRead, gpu_status},
    {"get_health", "have the GPUs memory to spare?", kEnginesRead, gpu_health},
    {"clear_memory", "unload all models that are idle", kModelsWrite, clear_memory},
    {"optimize", "clear_memory, and the GPUs after it", kModelsWrite, optimize},
};

constexpr mcp::ToolHints kHints{.read_only = false, .destructive = true, .idempotent = true, .open_world = false};

}  // namespace

Result<void> add_engine(mcp::Server& server, const ToolContext& context) {
  auto added = add_portmanteau<EngineArguments>(
      server, context,
      {{.name = "llm_engine",
        .title = "Engines",
        .description = "The processes that run the models: one for each that is loaded.",
        .hints = kHints,
        .picture = Picture::kModel,
        .span = Span::kLong},
       {"llm_engine_tool", "llm_engine_control_tool", "llm_engine_status_tool"}},
      kEngineOperations);
  if (!added) return added;
  return add_portmanteau<GpuArguments>(server, context,
                                       {{.name = "llm_gpu",
                                         .title = "GPUs",
                                         .description = "The GPUs of this machine and their memory.",
                                         .hints = kHints,
                                         .picture = Picture::kStatus},
                                        {"llm_gpu_tool", "llm_gpu_tool_portmanteau"}},
                                       kGpuOperations);
}

}  // namespace llm::tools::original
