#include "engines/providers/fingerprint.h"

namespace llm::engines {
namespace {

using enum dialects::ProviderKind;

bool is_text(const json::object& object, std::string_view key) {
  const json::value* found = json::find(object, key);
  return found != nullptr && found->is_string();
}

// {"version":"0.11.4"}
std::optional<Fingerprint> version_alone(dialects::ProviderKind kind, const json::object& answer) {
  if (!is_text(answer, "version") || answer.size() > 2) return std::nullopt;
  return Fingerprint{kind, std::string(json::string_or(answer, "version"))};
}

// GET /api/v1/models (0.4 and newer) or /api/v0/models; a path that it does not know has an error in words of its own.
std::optional<Fingerprint> lm_studio(const json::object& answer) {
  const bool refuses = json::string_or(answer, "error").find("Unexpected endpoint") != std::string_view::npos;
  const json::value* models = json::find(answer, "models");
  if (refuses) return Fingerprint{kLmStudio, {}};
  if (models == nullptr || !models->is_array()) return std::nullopt;
  for (const json::value& model : models->get_array()) {
    if (!model.is_object() || !model.get_object().contains("loaded_instances")) return std::nullopt;
  }
  return Fingerprint{kLmStudio, {}};
}

std::optional<Fingerprint> lm_studio_v0(const json::object& answer) {
  const json::value* models = json::find(answer, "data");
  if (models == nullptr || !models->is_array()) return std::nullopt;
  for (const json::value& model : models->get_array()) {
    if (!model.is_object() || !model.get_object().contains("state")) return std::nullopt;
  }
  return Fingerprint{kLmStudio, {}};
}

}  // namespace

const std::vector<FingerprintQuestion>& fingerprint_questions() {
  static const std::vector<FingerprintQuestion> questions{
      {kOllama, "/api/version"}, {kLmStudio, "/api/v1/models"},     {kLmStudio, "/api/v0/models"},
      {kLlamaServer, "/props"},  {kSglang, "/get_model_info"},      {kTgi, "/info"},
      {kVllm, "/version"},       {kOpenAiCompatible, "/v1/models"},
  };
  return questions;
}

std::optional<Fingerprint> read_fingerprint(const FingerprintQuestion& question, int status, std::string_view body) {
  // It wants a key before it says more.
  if (question.kind == kOpenAiCompatible && (status == 401 || status == 403)) return Fingerprint{};
  if (status != 200) return std::nullopt;
  const auto parsed = json::parse(body);
  if (!parsed || !parsed->is_object()) return std::nullopt;
  const json::object& answer = parsed->get_object();
  switch (question.kind) {
    case kOllama:
    case kVllm:
      return version_alone(question.kind, answer);
    case kLmStudio:
      return question.target == "/api/v0/models" ? lm_studio_v0(answer) : lm_studio(answer);
    case kLlamaServer:
      if (!answer.contains("default_generation_settings") && !answer.contains("total_slots")) return std::nullopt;
      return Fingerprint{kLlamaServer, std::string(json::string_or(answer, "build_info"))};
    case kSglang:
      if (!is_text(answer, "model_path")) return std::nullopt;
      return Fingerprint{kSglang, {}};
    case kTgi:
      if (!is_text(answer, "model_id") || !answer.contains("max_concurrent_requests")) return std::nullopt;
      return Fingerprint{kTgi, std::string(json::string_or(answer, "version"))};
    default:
      break;
  }
  const auto listed = read_models(body);
  if (!listed) return std::nullopt;
  if (listed->owner == "vllm") return Fingerprint{kVllm, {}};
  if (listed->owner == "llamacpp") return Fingerprint{kLlamaServer, {}};
  if (listed->owner == "sglang") return Fingerprint{kSglang, {}};
  return Fingerprint{};
}

std::optional<ListedModels> read_models(std::string_view body) {
  const auto parsed = json::parse(body);
  if (!parsed || !parsed->is_object()) return std::nullopt;
  const json::value* data = json::find(parsed->get_object(), "data");
  if (data == nullptr || !data->is_array()) return std::nullopt;
  ListedModels out;
  for (const json::value& model : data->get_array()) {
    if (!model.is_object()) continue;
    const std::string_view id = json::string_or(model.get_object(), "id");
    if (!id.empty()) out.ids.emplace_back(id);
    if (out.owner.empty()) out.owner = json::string_or(model.get_object(), "owned_by");
  }
  return out;
}

}  // namespace llm::engines
