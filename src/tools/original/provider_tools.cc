// llm_ollama, llm_lmstudio.
#include <utility>

#include "tools/original/arguments.h"
#include "tools/original/original_tools.h"
#include "tools/original/provider_work.h"

namespace llm::tools::original {
namespace {

constexpr mcp::ToolHints kHints{.read_only = false, .destructive = true, .idempotent = true, .open_world = true};

Task<Result<Answer>> ollama_list(OriginalContext context, OllamaArguments, mcp::ToolCall call) {
  co_return co_await list_of(std::move(context), OtherEngine::kOllama, std::move(call));
}
Task<Result<Answer>> change_ollama(OriginalContext context, std::string_view what, OllamaArguments arguments,
                                   mcp::ToolCall call) {
  ModelChange change{OtherEngine::kOllama, what, std::move(arguments.model), "model", arguments.confirm};
  co_return co_await change_model(std::move(context), std::move(change), std::move(call));
}
Task<Result<Answer>> ollama_pull(OriginalContext context, OllamaArguments arguments, mcp::ToolCall call) {
  co_return co_await change_ollama(std::move(context), "pull", std::move(arguments), std::move(call));
}
Task<Result<Answer>> ollama_load(OriginalContext context, OllamaArguments arguments, mcp::ToolCall call) {
  co_return co_await change_ollama(std::move(context), "load", std::move(arguments), std::move(call));
}
Task<Result<Answer>> ollama_unload(OriginalContext context, OllamaArguments arguments, mcp::ToolCall call) {
  co_return co_await change_ollama(std::move(context), "unload", std::move(arguments), std::move(call));
}
Task<Result<Answer>> ollama_delete(OriginalContext context, OllamaArguments arguments, mcp::ToolCall call) {
  co_return co_await change_ollama(std::move(context), "delete", std::move(arguments), std::move(call));
}

Task<Result<Answer>> lm_studio_list(OriginalContext context, LmStudioArguments, mcp::ToolCall call) {
  co_return co_await list_of(std::move(context), OtherEngine::kLmStudio, std::move(call));
}
// The original's clients give a path to load and a name to unload.
Task<Result<Answer>> change_lm_studio(OriginalContext context, std::string_view what, LmStudioArguments arguments,
                                      mcp::ToolCall call) {
  const bool by_name = arguments.model_name && !arguments.model_name->empty();
  ModelChange change{OtherEngine::kLmStudio, what, by_name ? arguments.model_name : arguments.model_path,
                     by_name || !arguments.model_path ? "model_name" : "model_path"};
  co_return co_await change_model(std::move(context), std::move(change), std::move(call));
}
Task<Result<Answer>> lm_studio_load(OriginalContext context, LmStudioArguments arguments, mcp::ToolCall call) {
  co_return co_await change_lm_studio(std::move(context), "load", std::move(arguments), std::move(call));
}
Task<Result<Answer>> lm_studio_unload(OriginalContext context, LmStudioArguments arguments, mcp::ToolCall call) {
  co_return co_await change_lm_studio(std::move(context), "unload", std::move(arguments), std::move(call));
}
Task<Result<Answer>> link_status(OriginalContext context, LmStudioArguments, mcp::ToolCall call) {
  const auto api = context.tools.api(call);
  auto answer = co_await api->operate("provider.health", {{"name", "lmstudio"}}, {}, call.cancel);
  if (!answer) {
    Error error = std::move(answer.error());
    if (error.pointer == "/name") error.pointer = "/operation";
    co_return fail(std::move(error));
  }
  const json::value* providers = json::find(*answer, "providers");
  const bool known = providers != nullptr && providers->is_array() && !providers->get_array().empty();
  const bool there = known && json::bool_or(providers->get_array()[0].get_object(), "reachable");
  co_return Answer{there ? "LM Studio is there" : "LM Studio cannot be reached", std::move(*answer)};
}

using enum access::Permission;

constexpr Operation<OllamaArguments> kOllamaOperations[] = {
    {"list_models", "models that Ollama has, and which are in memory", kModelsRead, ollama_list},
    {"pull_model", "download one with Ollama (model)", kModelsWrite, ollama_pull},
    {"load_model", "load one into Ollama's memory (model)", kModelsWrite, ollama_load},
    {"unload_model", "free its memory (model)", kModelsWrite, ollama_unload},
    {"delete_model", "delete one for good (model, confirm)", kAdmin, ollama_delete},
};

constexpr Operation<LmStudioArguments> kLmStudioOperations[] = {
    {"list_models", "models that LM Studio has, and which are in memory", kModelsRead, lm_studio_list},
    {"load_model", "load one into LM Studio's memory (model_name)", kModelsWrite, lm_studio_load},
    {"unload_model", "free its memory (model_name)", kModelsWrite, lm_studio_unload},
    {"link_status", "is LM Studio there?", kEnginesRead, link_status},
};

ToolDescription description(std::string_view name, std::string_view title, std::string_view text) {
  return {.name = name,
          .title = title,
          .description = text,
          .hints = kHints,
          .picture = Picture::kModel,
          .span = Span::kLong};
}

}  // namespace

Result<void> add_providers(mcp::Server& server, const ToolContext& context) {
  Result<void> added = add_portmanteau<OllamaArguments>(
      server, context,
      {description("llm_ollama", "Ollama", "The models of the Ollama that the gateway's configuration names."),
       {"llm_ollama_tool"}},
      kOllamaOperations);
  if (!added) return added;
  return add_portmanteau<LmStudioArguments>(
      server, context,
      {description("llm_lmstudio", "LM Studio", "The models of the LM Studio that the gateway's configuration names."),
       {"llm_lmstudio_tool"}},
      kLmStudioOperations);
}

}  // namespace llm::tools::original
