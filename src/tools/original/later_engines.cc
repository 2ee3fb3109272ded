// llm_ollama, llm_lmstudio, llm_vllm.
#include "tools/original/later_engines.h"

#include <fmt/format.h>

#include "tools/original/arguments.h"
#include "tools/original/operations.h"
#include "tools/original/original_tools.h"

namespace llm::tools::original {
namespace {

constexpr mcp::ToolHints kHints{.read_only = false, .destructive = false, .idempotent = true, .open_world = false};

template <class Arguments, LaterEngine engine>
Task<Result<Answer>> not_yet(OriginalContext, Arguments, mcp::ToolCall) {
  co_return fail(later(engine));
}

constexpr auto kOllama = not_yet<OllamaArguments, LaterEngine::kOllama>;
using enum access::Permission;

constexpr Operation<OllamaArguments> kOllamaOperations[] = {
    {"list_models", "models that Ollama has", kModelsRead, kOllama},
    {"pull_model", "download one with Ollama", kModelsWrite, kOllama},
    {"load_model", "load one into Ollama's memory", kModelsWrite, kOllama},
    {"unload_model", "unload one", kModelsWrite, kOllama},
    {"delete_model", "delete one", kModelsWrite, kOllama},
};

constexpr auto kLmStudio = not_yet<LmStudioArguments, LaterEngine::kLmStudio>;
constexpr Operation<LmStudioArguments> kLmStudioOperations[] = {
    {"list_models", "models that LM Studio has", kModelsRead, kLmStudio},
    {"load_model", "load one into LM Studio's memory", kModelsWrite, kLmStudio},
    {"unload_model", "unload one", kModelsWrite, kLmStudio},
    {"link_status", "is LM Studio there?", kModelsRead, kLmStudio},
};

constexpr auto kVllm = not_yet<VllmArguments, LaterEngine::kVllm>;
constexpr Operation<VllmArguments> kVllmOperations[] = {
    {"list_models", "models that vLLM serves", kModelsRead, kVllm},
    {"load_model", "serve one with vLLM", kModelsWrite, kVllm},
    {"unload_model", "stop serving one", kModelsWrite, kVllm},
    {"get_status", "state of vLLM", kModelsRead, kVllm},
    {"get_metrics", "numbers of vLLM", kModelsRead, kVllm},
    {"start_server", "start vLLM", kModelsWrite, kVllm},
    {"stop_server", "stop vLLM", kModelsWrite, kVllm},
    {"get_server_status", "state of the vLLM server", kModelsRead, kVllm},
    {"get_config", "settings of vLLM", kModelsRead, kVllm},
    {"update_config", "change settings of vLLM", kModelsWrite, kVllm},
};

struct EngineText {
  std::string_view title;
  std::string_view key;
  std::string_view address;
};

EngineText text_of(LaterEngine engine) {
  switch (engine) {
    case LaterEngine::kOllama:
      return {"Ollama", "ollama", "http://127.0.0.1:11434/v1"};
    case LaterEngine::kLmStudio:
      return {"LM Studio", "lmstudio", "http://127.0.0.1:1234/v1"};
    case LaterEngine::kVllm:
      return {"vLLM", "vllm", "http://127.0.0.1:8000/v1"};
  }
  return {};
}

ToolDescription description(std::string_view name, std::string_view title, std::string_view text) {
  return {.name = name, .title = title, .description = text, .hints = kHints, .picture = Picture::kModel};
}

}  // namespace

Error later(LaterEngine engine) {
  const EngineText text = text_of(engine);
  return {ErrorCode::kUnsupported,
          fmt::format("{} cannot be managed by this version. Let it run by itself and name it in the configuration: "
                      "engines.external.{}: {{base_url: \"{}\", models: [NAME]}}. Its models then answer in "
                      "llm_generation and stand in llm_models list_models with provider external. Models of this "
                      "gateway itself are managed with llm_models and llm_engine.",
                      text.title, text.key, text.address),
          "/operation",
          {},
          0};
}

Result<void> add_later_engines(mcp::Server& server, const ToolContext& context) {
  Result<void> added = add_portmanteau<OllamaArguments>(
      server, context,
      {description("llm_ollama", "Ollama",
                   "Manage Ollama. Not in this version: every operation says how to use Ollama's models meanwhile."),
       {"llm_ollama_tool"}},
      kOllamaOperations);
  if (added) {
    added = add_portmanteau<LmStudioArguments>(
        server, context,
        {description("llm_lmstudio", "LM Studio",
                     "Manage LM Studio. Not in this version: every operation says how to use its models meanwhile."),
         {"llm_lmstudio_tool"}},
        kLmStudioOperations);
  }
  if (added) {
    added = add_portmanteau<VllmArguments>(
        server, context,
        {description("llm_vllm", "vLLM",
                     "Manage vLLM. Not in this version: every operation says how to use its models meanwhile."),
         {"llm_vllm_tool"}},
        kVllmOperations);
  }
  return added;
}

}  // namespace llm::tools::original
