#include <fmt/format.h>

#include "dialects/openai_answer.h"

namespace llm::dialects {
namespace {

struct Said {
  std::string message;
  std::string type;  // `type`, `status`, `error_type`: each server's own word for what it is
  std::string code;
};

// {"error":{"message","type","code"}}, {"error":"text","error_type":"…"}, {"object":"error","message",…},
// [{"error":{"code","message","status"}}] (Gemini)
std::optional<Said> read(std::string_view body) {
  auto parsed = json::parse(body);
  if (!parsed) return std::nullopt;
  const json::value* value = &*parsed;
  if (value->is_array() && !value->get_array().empty()) value = &value->get_array()[0];
  if (!value->is_object()) return std::nullopt;
  const json::object& whole = value->get_object();
  const json::value* error = json::find(whole, "error");
  Said said;
  if (error != nullptr && error->is_string()) {
    said.message = error->get_string();
    said.type = json::string_or(whole, "error_type");
    return said;
  }
  const json::object& object = error != nullptr && error->is_object() ? error->get_object() : whole;
  said.message = json::string_or(object, "message");
  said.type = json::string_or(object, "type", json::string_or(object, "status"));
  said.code = json::string_or(object, "code");
  return said.message.empty() ? std::nullopt : std::optional(said);
}

bool holds(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

bool too_long(const Said& said) {
  return said.code == "context_length_exceeded" || holds(said.message, "maximum context length") ||
         holds(said.message, "longer than the model's context") || holds(said.message, "exceeds the context window") ||
         holds(said.message, "greater than the context length") ||
         holds(said.message, "`inputs` must have less than") ||
         holds(said.message, "exceeds the maximum number of tokens");
}

Error make(ErrorCode code, std::string message, int retry_after_s = 0) {
  return {code, std::move(message), {}, {}, retry_after_s};
}

std::optional<Error> tgi_error(const Said& said) {
  if (said.type == "validation" || said.type == "template_error" || said.type == "tool_error") {
    return make(ErrorCode::kInvalidArgument, said.message);
  }
  if (said.type == "overloaded") return make(ErrorCode::kOverloaded, "TGI is overloaded", 1);
  if (said.type == "unhealthy") return make(ErrorCode::kUnavailable, "TGI says that it is not healthy");
  if (said.type == "generation" || said.type == "incomplete_generation") {
    return make(ErrorCode::kEngineFailed, "TGI failed: " + said.message);
  }
  return std::nullopt;
}

std::optional<Error> gemini_error(const Said& said) {
  if (said.type == "RESOURCE_EXHAUSTED") return make(ErrorCode::kRateLimited, said.message, 1);
  if (said.type == "UNAVAILABLE") return make(ErrorCode::kOverloaded, said.message, 2);
  if (said.type == "DEADLINE_EXCEEDED") return make(ErrorCode::kEngineTimeout, said.message);
  if (said.type == "INVALID_ARGUMENT" || said.type == "FAILED_PRECONDITION") {
    // A wrong key is an argument, too, to this service.
    if (holds(said.message, "API key")) return make(ErrorCode::kEngineFailed, "Gemini refused the gateway's key");
    return make(ErrorCode::kInvalidArgument, said.message);
  }
  if (said.type == "NOT_FOUND") return make(ErrorCode::kNotFound, said.message);
  return std::nullopt;
}

std::optional<Error> openrouter_error(int status, const Said& said) {
  if (status == 402) {
    return make(ErrorCode::kUnavailable, "OpenRouter says that the gateway's account has no credit left");
  }
  if (status == 408) return make(ErrorCode::kEngineTimeout, "OpenRouter waited for the model in vain");
  if (status == 403) return make(ErrorCode::kPermissionDenied, said.message);  // moderation refused the input
  if (status == 502) return make(ErrorCode::kEngineFailed, "OpenRouter: " + said.message);
  if (status == 503) return make(ErrorCode::kOverloaded, "OpenRouter: " + said.message, 2);
  return std::nullopt;
}

}  // namespace

std::optional<Error> openai_error(const OpenAiRules& rules, int status, std::string_view body) {
  const auto said = read(body);
  if (!said) return std::nullopt;
  const bool refused = status == 0 || (status >= 400 && status < 500);
  // llama-server gives its figures beside the message, which the OpenAI API's reading of errors knows.
  if (said->type == "exceed_context_size_error") return std::nullopt;
  if (refused && status != 429 && too_long(*said)) return make(ErrorCode::kContextLengthExceeded, said->message);
  const std::string_view title = preset_of(rules.kind).title;
  if (rules.kind == ProviderKind::kGemini) {
    if (auto error = gemini_error(*said)) return error;
  }
  if (rules.kind == ProviderKind::kTgi) {
    if (auto error = tgi_error(*said)) return error;
  }
  if (rules.kind == ProviderKind::kOpenRouter) {
    if (auto error = openrouter_error(status, *said)) return error;
  }
  if (status == 401 || status == 403) {
    return make(ErrorCode::kEngineFailed,
                fmt::format("{} refused the gateway's key; see the provider's api_key", title));
  }
  if (rules.kind == ProviderKind::kOpenAi && said->code == "insufficient_quota") {
    return make(ErrorCode::kUnavailable, "OpenAI says that the gateway's account has no credit left");
  }
  if (rules.kind == ProviderKind::kOllama && status == 404) {
    return make(ErrorCode::kNotFound, fmt::format("Ollama: {}; \"llm-mcp providers pull\" gets it", said->message));
  }
  return std::nullopt;
}

}  // namespace llm::dialects
