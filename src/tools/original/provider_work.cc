#include "tools/original/provider_work.h"

#include <utility>

#include "tools/call_progress.h"
#include "tools/original/vllm_work.h"

namespace llm::tools::original {
namespace {

std::string_view title_of(OtherEngine engine) {
  return engine == OtherEngine::kOllama ? "Ollama" : engine == OtherEngine::kLmStudio ? "LM Studio" : "vLLM";
}

// As its preset is called; stands for the only entry of that kind, whatever its name.
std::string_view name_of(OtherEngine engine) {
  return engine == OtherEngine::kOllama ? "ollama" : "lmstudio";
}

// The gateway's errors speak of its own arguments.
Error about(Error error, std::string_view argument) {
  if (error.pointer == "/model") error.pointer = fmt::format("/{}", argument);
  if (error.pointer == "/name") error.pointer = "/operation";
  return error;
}

std::size_t size_of(const json::object& answer, std::string_view list) {
  const json::value* found = json::find(answer, list);
  return found != nullptr && found->is_array() ? found->get_array().size() : 0;
}

}  // namespace

OtherEngine other_engine(std::string_view text) {
  const std::string name = to_lower(text);
  if (name == "ollama") return OtherEngine::kOllama;
  if (name == "lmstudio" || name == "lm_studio" || name == "lm-studio") return OtherEngine::kLmStudio;
  if (name == "vllm" || name == "vllm_v1") return OtherEngine::kVllm;
  return OtherEngine::kNone;
}

Task<Result<Answer>> list_of(OriginalContext context, OtherEngine engine, mcp::ToolCall call) {
  if (engine == OtherEngine::kVllm) co_return co_await vllm_engines(std::move(context), {}, std::move(call));
  const auto api = context.tools.api(call);
  auto answer = co_await api->operate("provider.models", {{"name", name_of(engine)}}, {}, call.cancel);
  if (!answer) co_return fail(about(std::move(answer.error()), "model"));
  co_return Answer{fmt::format("{} has {} models", title_of(engine), size_of(*answer, "models")), std::move(*answer)};
}

Task<Result<Answer>> change_model(OriginalContext context, ModelChange change, mcp::ToolCall call) {
  if (change.engine == OtherEngine::kVllm) {
    const std::string_view operation = change.what == "load" ? "engine.start" : "engine.stop";
    co_return co_await vllm_change(std::move(context), operation, std::move(change.model), change.argument,
                                   std::move(call));
  }
  const std::string pointer = fmt::format("/{}", change.argument);
  if (!change.model || change.model->empty()) {
    co_return fail(ErrorCode::kInvalidArgument, fmt::format("{} needs \"{}\"", change.what, change.argument), pointer);
  }
  if (change.what == "delete" && !change.confirmed) {
    co_return fail(ErrorCode::kInvalidArgument,
                   fmt::format("this deletes the model \"{}\" of {} for good; ask the user, then call again with "
                               "\"confirm\": true",
                               *change.model, title_of(change.engine)),
                   "/confirm");
  }
  const auto api = context.tools.api(call);
  const auto unit = change.what == "pull" ? CallProgress::Unit::kBytes : CallProgress::Unit::kPercent;
  CallProgress progress(call, context.tools.settings.progress_interval, unit);
  auto answer =
      co_await api->operate(fmt::format("provider.{}", change.what),
                            {{"name", name_of(change.engine)}, {"model", *change.model}}, progress.sink(), call.cancel);
  if (!answer) co_return fail(about(std::move(answer.error()), change.argument));
  co_return Answer{fmt::format("{}: {} is {}", title_of(change.engine), *change.model,
                               json::string_or(*answer, "state", change.what)),
                   std::move(*answer)};
}

}  // namespace llm::tools::original
