#include "dialects/provider_kind.h"

namespace llm::dialects {
namespace {

using enum ProviderKind;
constexpr std::array<ProviderPreset, kProviderKinds> kPresets{{
    {kOpenAiCompatible, "openai-compatible", "OpenAI-compatible server", "", "/models", "", false},
    {kLlamaServer, "llama-server", "llama-server", "http://127.0.0.1:8080/v1", "/models", "", false},
    {kVllm, "vllm", "vLLM", "http://127.0.0.1:8000/v1", "/models", "VLLM_API_KEY", false},
    {kOllama, "ollama", "Ollama", "http://127.0.0.1:11434/v1", "/models", "", false},
    {kLmStudio, "lmstudio", "LM Studio", "http://127.0.0.1:1234/v1", "/models", "", false},
    {kSglang, "sglang", "SGLang", "http://127.0.0.1:30000/v1", "/models", "", false},
    {kTgi, "tgi", "TGI", "http://127.0.0.1:3000/v1", "/models", "", false},
    {kOpenAi, "openai", "OpenAI", "https://api.openai.com/v1", "/models", "OPENAI_API_KEY", true},
    {kOpenRouter, "openrouter", "OpenRouter", "https://openrouter.ai/api/v1", "/key", "OPENROUTER_API_KEY", true},
    {kAnthropic, "anthropic", "Anthropic", "https://api.anthropic.com/v1", "/models", "ANTHROPIC_API_KEY", true},
    {kGemini, "gemini", "Gemini", "https://generativelanguage.googleapis.com/v1beta/openai", "/models",
     "GEMINI_API_KEY", true},
}};

}  // namespace

const ProviderPreset& preset_of(ProviderKind kind) {
  return kPresets[static_cast<std::size_t>(kind)];
}

std::string_view to_string(ProviderKind kind) {
  return preset_of(kind).name;
}

}  // namespace llm::dialects
