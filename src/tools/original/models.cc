// llm_models.
#include <utility>

#include "tools/original/arguments.h"
#include "tools/original/model_work.h"
#include "tools/original/original_tools.h"
#include "tools/original/provider_work.h"
#include "tools/results.h"

namespace llm::tools::original {
namespace {

// What is set by name: an argument that an operation cannot do without.
Result<std::string> required(const std::optional<std::string>& value, std::string_view argument,
                             std::string_view operation) {
  if (value && !value->empty()) return *value;
  return fail(ErrorCode::kInvalidArgument, fmt::format("{} needs \"{}\"", operation, argument),
              fmt::format("/{}", argument));
}

// The gateway's errors speak of its own argument.
Error about_model_id(Error error) {
  if (error.pointer == "/model" || error.pointer == "/source") error.pointer = "/model_id";
  return error;
}

Task<Result<Answer>> list_models(OriginalContext context, ModelsArguments arguments, mcp::ToolCall call) {
  co_return co_await list(std::move(context), arguments.provider.value_or(""), "/provider", std::move(call));
}

Task<Result<Answer>> get_model_info(OriginalContext context, ModelsArguments arguments, mcp::ToolCall call) {
  const auto api = context.tools.api(call);
  auto name = co_await model_or_default(api, std::move(arguments.model_id));
  if (!name) co_return fail(about_model_id(std::move(name.error())));
  auto answer = co_await api->model_info(std::move(*name));
  if (!answer) co_return fail(about_model_id(std::move(answer.error())));
  const ModelInfo output = read_model_info(*answer);
  co_return Answer{fmt::format("{} is {}", output.model.name, output.model.state.value_or("installed")),
                   json::encode(output)};
}

Task<Result<Answer>> load_model(OriginalContext context, ModelsArguments arguments, mcp::ToolCall call) {
  auto answer = co_await load(std::move(context), std::move(arguments.model_id), std::move(call));
  if (!answer) co_return fail(about_model_id(std::move(answer.error())));
  co_return answer;
}

Task<Result<Answer>> unload_model(OriginalContext context, ModelsArguments arguments, mcp::ToolCall call) {
  auto answer = co_await unload(std::move(context), std::move(arguments.model_id), std::move(call));
  if (!answer) co_return fail(about_model_id(std::move(answer.error())));
  co_return answer;
}

Task<Result<Answer>> pull_model(OriginalContext context, ModelsArguments arguments, mcp::ToolCall call) {
  auto source = required(arguments.model_id, "model_id", "pull_model");
  if (!source) co_return fail(std::move(source.error()));
  auto answer = co_await pull(std::move(context), std::move(*source), std::move(arguments.name), std::move(call));
  if (!answer) co_return fail(about_model_id(std::move(answer.error())));
  co_return answer;
}

Task<Result<Answer>> remove_model(OriginalContext context, ModelsArguments arguments, mcp::ToolCall call) {
  auto name = required(arguments.model_id, "model_id", "remove_model");
  if (!name) co_return fail(std::move(name.error()));
  if (!arguments.confirm) {
    co_return fail(ErrorCode::kInvalidArgument,
                   fmt::format("this deletes the model \"{}\" and its file for good; ask the user, then call again "
                               "with \"confirm\": true",
                               *name),
                   "/confirm");
  }
  const auto api = context.tools.api(call);
  auto answer = co_await api->remove_model(*name);
  if (!answer) co_return fail(about_model_id(std::move(answer.error())));
  announce_model(context.tools.changes, *name, true);
  co_return Answer{fmt::format("{} is removed", *name), {{"model", *name}, {"removed", true}}};
}

Task<Result<Answer>> register_model(OriginalContext, ModelsArguments, mcp::ToolCall) {
  co_return fail(ErrorCode::kUnsupported,
                 "models are registered by installing them: pull_model downloads one, llm-mcp import FILE takes a GGUF "
                 "file of this machine, and providers in the configuration names those of other servers",
                 "/operation");
}

template <OtherEngine engine>
Task<Result<Answer>> list_other(OriginalContext context, ModelsArguments, mcp::ToolCall call) {
  co_return co_await list_of(std::move(context), engine, std::move(call));
}

enum class Change { kPull, kLoad, kUnload, kDelete };

template <OtherEngine engine, Change what>
Task<Result<Answer>> change_other(OriginalContext context, ModelsArguments arguments, mcp::ToolCall call) {
  constexpr std::array<std::string_view, 4> kNames{"pull", "load", "unload", "delete"};
  ModelChange change{engine, kNames[static_cast<std::size_t>(what)], std::move(arguments.model_id), "model_id",
                     arguments.confirm};
  co_return co_await change_model(std::move(context), std::move(change), std::move(call));
}

using enum Change;
using enum OtherEngine;
using enum access::Permission;

constexpr Operation<ModelsArguments> kOperations[] = {
    {"list_models", "what is installed (provider)", kModelsRead, list_models},
    {"get_model_info", "everything about one (model_id)", kModelsRead, get_model_info},
    {"load_model", "load one into memory (model_id)", kModelsWrite, load_model},
    {"unload_model", "free its memory (model_id)", kModelsWrite, unload_model},
    {"pull_model", "download one (model_id: hf:owner/repo:file or https://…, name)", kModelsWrite, pull_model},
    {"remove_model", "delete one for good (model_id, confirm)", kAdmin, remove_model},
    {"register_model", "not possible here", kModelsWrite, register_model},
    {"ollama_list", "Ollama's models", kModelsRead, list_other<kOllama>},
    {"ollama_pull", "download one with Ollama (model_id)", kModelsWrite, change_other<kOllama, kPull>},
    {"ollama_delete", "delete one of Ollama's for good (model_id, confirm)", kAdmin, change_other<kOllama, kDelete>},
    {"ollama_load", "load one into Ollama's memory (model_id)", kModelsWrite, change_other<kOllama, kLoad>},
    {"ollama_unload", "free its memory (model_id)", kModelsWrite, change_other<kOllama, kUnload>},
    {"lmstudio_list", "LM Studio's models", kModelsRead, list_other<kLmStudio>},
    {"lmstudio_load", "load one into LM Studio's memory (model_id)", kModelsWrite, change_other<kLmStudio, kLoad>},
    {"lmstudio_unload", "free its memory (model_id)", kModelsWrite, change_other<kLmStudio, kUnload>},
    {"vllm_list", "the engines that vLLM runs", kEnginesRead, list_other<kVllm>},
    {"vllm_load", "serve one with vLLM (model_id)", kModelsWrite, change_other<kVllm, kLoad>},
    {"vllm_unload", "stop serving one (model_id)", kModelsWrite, change_other<kVllm, kUnload>},
};

}  // namespace

Result<void> add_models(mcp::Server& server, const ToolContext& context) {
  return add_portmanteau<ModelsArguments>(
      server, context,
      {{.name = "llm_models",
        .title = "Manage local models",
        .description = "The models of this machine: see, get, load, unload and delete them.",
        .hints = {.read_only = false, .destructive = true, .idempotent = true, .open_world = true},
        .picture = Picture::kModel,
        .span = Span::kResumable},
       {"llm_models_tool"}},
      kOperations);
}

}  // namespace llm::tools::original
