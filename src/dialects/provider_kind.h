#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "json/fields.h"

namespace llm::dialects {

// What kind of server answers: which API it speaks, how it spells what others spell differently, what it can do beside
// answering. `preset` in the configuration.
enum class ProviderKind : std::uint8_t {
  kOpenAiCompatible,
  kLlamaServer,
  kVllm,
  kOllama,
  kLmStudio,
  kSglang,
  kTgi,
  kOpenAi,
  kOpenRouter,
  kAnthropic,
  kGemini,
};
inline constexpr std::size_t kProviderKinds = 11;

// One row for each kind.
struct ProviderPreset {
  ProviderKind kind;
  std::string_view name;          // as in the configuration
  std::string_view title;         // for people: "LM Studio"
  std::string_view base_url;      // of its API; empty: must be configured
  std::string_view health_path;   // under base_url, answers 200 when it is up
  std::string_view key_variable;  // environment variable that people keep its key in; empty: none
  bool cloud = false;             // a service on the internet: leaves the machine, wants a key
};
const ProviderPreset& preset_of(ProviderKind kind);
std::string_view to_string(ProviderKind kind);

}  // namespace llm::dialects

template <>
struct llm::json::EnumNames<llm::dialects::ProviderKind> {
  static constexpr std::array<std::pair<dialects::ProviderKind, std::string_view>, dialects::kProviderKinds> values{{
      {dialects::ProviderKind::kOpenAiCompatible, "openai-compatible"},
      {dialects::ProviderKind::kLlamaServer, "llama-server"},
      {dialects::ProviderKind::kVllm, "vllm"},
      {dialects::ProviderKind::kOllama, "ollama"},
      {dialects::ProviderKind::kLmStudio, "lmstudio"},
      {dialects::ProviderKind::kSglang, "sglang"},
      {dialects::ProviderKind::kTgi, "tgi"},
      {dialects::ProviderKind::kOpenAi, "openai"},
      {dialects::ProviderKind::kOpenRouter, "openrouter"},
      {dialects::ProviderKind::kAnthropic, "anthropic"},
      {dialects::ProviderKind::kGemini, "gemini"},
  }};
};
