// What each kind of server spells or lacks. From the documentation of each: vLLM's and SGLang's "OpenAI-Compatible
// Server", Ollama's docs/api/openai-compatibility and openai/openai.go, LM Studio's "OpenAI compatibility" and "Idle
// TTL and Auto-Evict", TGI's docs/openapi.json, the references of OpenAI, OpenRouter and Gemini ("OpenAI
// compatibility").
#include <array>

#include "dialects/openai_like.h"

namespace llm::dialects {
namespace {

using Tokenizer = OpenAiRules::Tokenizer;
using Rename = std::pair<std::string_view, std::string_view>;
using Name = std::string_view;

// The sampling of local engines, and llama.cpp's and vLLM's ways to steer one answer: nothing that a service knows.
constexpr auto kLocalTuning = std::to_array<Name>({
    "top_k",
    "min_p",
    "typical_p",
    "top_n_sigma",
    "top_a",
    "repeat_penalty",
    "repetition_penalty",
    "repeat_last_n",
    "length_penalty",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
    "dynatemp_range",
    "dynatemp_exponent",
    "xtc_probability",
    "xtc_threshold",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "dry_penalty_last_n",
    "dry_sequence_breakers",
    "samplers",
    "min_tokens",
    "min_keep",
    "n_keep",
    "n_probs",
    "ignore_eos",
    "stop_token_ids",
    "include_stop_str_in_output",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "use_beam_search",
    "cache_prompt",
    "return_progress",
    "timings_per_token",
    "reasoning_format",
    "chat_template_kwargs",
    "t_max_predict_ms",
    "post_sampling_probs",
});

// The samplers that services between us and many models do pass on.
constexpr auto kLocalTuningButSamplers = std::to_array<Name>({
    "typical_p",
    "top_n_sigma",
    "repeat_last_n",
    "length_penalty",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
    "dynatemp_range",
    "dynatemp_exponent",
    "xtc_probability",
    "xtc_threshold",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "dry_penalty_last_n",
    "dry_sequence_breakers",
    "samplers",
    "min_tokens",
    "min_keep",
    "n_keep",
    "n_probs",
    "ignore_eos",
    "stop_token_ids",
    "include_stop_str_in_output",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "use_beam_search",
    "cache_prompt",
    "return_progress",
    "timings_per_token",
    "reasoning_format",
    "chat_template_kwargs",
    "t_max_predict_ms",
    "post_sampling_probs",
});

// Gemini refuses every field that it does not know.
constexpr auto kGeminiUnknown = [] {
  constexpr auto kMore =
      std::to_array<Name>({"seed", "user", "store", "metadata", "service_tier", "logit_bias", "prediction",
                           "parallel_tool_calls", "verbosity", "prompt_cache_key", "safety_identifier"});
  std::array<Name, kLocalTuning.size() + kMore.size()> all{};
  std::size_t next = 0;
  for (const Name name : kLocalTuning) all[next++] = name;
  for (const Name name : kMore) all[next++] = name;
  return all;
}();

constexpr auto kToOpenAi = std::to_array<Rename>({{"max_tokens", "max_completion_tokens"}});
constexpr auto kToHuggingFace = std::to_array<Rename>({{"repeat_penalty", "repetition_penalty"}});
constexpr auto kToLlamaCpp = std::to_array<Rename>({{"repetition_penalty", "repeat_penalty"}});
constexpr auto kToOllama = std::to_array<Rename>({{"max_completion_tokens", "max_tokens"}});
constexpr auto kToTgi = kToOllama;
constexpr auto kToLmStudio =
    std::to_array<Rename>({{"max_completion_tokens", "max_tokens"}, {"repetition_penalty", "repeat_penalty"}});

// In the order of ProviderKind.
constexpr std::array<OpenAiRules, kProviderKinds> kRules{{
    {.kind = ProviderKind::kOpenAiCompatible, .reranks = true, .tokenizer = Tokenizer::kEither},
    {.kind = ProviderKind::kLlamaServer, .renames = kToLlamaCpp, .reranks = true, .tokenizer = Tokenizer::kContent},
    // vLLM called it reasoning_content until 0.11.
    {.kind = ProviderKind::kVllm,
     .renames = kToHuggingFace,
     .cache_salt = true,
     .reasoning = "reasoning",
     .mends_answers = true,
     .reranks = true,
     .tokenizer = Tokenizer::kPrompt},
    {.kind = ProviderKind::kOllama,
     .renames = kToOllama,
     .unknown = kLocalTuning,
     .one_choice = true,
     .free_tool_choice = true,
     .inline_images = true,
     .system_role = true,
     .reasoning = "reasoning",
     .mends_answers = true},
    {.kind = ProviderKind::kLmStudio,
     .renames = kToLmStudio,
     .one_choice = true,
     .inline_images = true,
     .system_role = true,
     .ttl = true,
     .reasoning = "reasoning",
     .mends_answers = true},
    {.kind = ProviderKind::kSglang, .renames = kToHuggingFace, .reranks = true, .tokenizer = Tokenizer::kPrompt},
    {.kind = ProviderKind::kTgi,
     .renames = kToTgi,
     .unknown = kLocalTuning,
     .one_choice = true,
     .system_role = true,
     .value_schema = true,
     .mends_answers = true,
     .embeds = false,
     .tokenizer = Tokenizer::kInputs},
    {.kind = ProviderKind::kOpenAi, .renames = kToOpenAi, .unknown = kLocalTuning},
    {.kind = ProviderKind::kOpenRouter,
     .renames = kToHuggingFace,
     .unknown = kLocalTuningButSamplers,
     .usage_by_request = true,
     .reasoning = "reasoning",
     .mends_answers = true},
    {.kind = ProviderKind::kAnthropic},  // has a dialect of its own
    {.kind = ProviderKind::kGemini, .unknown = kGeminiUnknown, .mends_answers = true},
}};

}  // namespace

const OpenAiRules& rules_of(ProviderKind kind) {
  return kRules[static_cast<std::size_t>(kind)];
}

}  // namespace llm::dialects
