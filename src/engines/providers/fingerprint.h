#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dialects/provider_kind.h"
#include "json/json.h"

// How servers tell what they are: each kind has an address that no other kind answers in that way. Sans-IO.
namespace llm::engines {

// One thing to ask, and what the answer proves.
struct FingerprintQuestion {
  dialects::ProviderKind kind;
  std::string_view target;
};
// Those of all kinds that run on one's own machine, the surest first; one whose answer proves nothing by itself last.
const std::vector<FingerprintQuestion>& fingerprint_questions();

struct Fingerprint {
  dialects::ProviderKind kind = dialects::ProviderKind::kOpenAiCompatible;
  std::string version;  // empty: it does not say
};
// `status` and `body` of the answer to `question`; nullopt: not that kind.
std::optional<Fingerprint> read_fingerprint(const FingerprintQuestion& question, int status, std::string_view body);

// The ids of a list of models of the OpenAI API, and who it says they belong to ("vllm", "llamacpp").
struct ListedModels {
  std::vector<std::string> ids;
  std::string owner;
};
std::optional<ListedModels> read_models(std::string_view body);

}  // namespace llm::engines
