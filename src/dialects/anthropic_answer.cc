#include "dialects/anthropic_answer.h"

#include <ctime>
#include <fmt/format.h>

namespace llm::dialects {
namespace {

struct Parts {
  std::string text;
  std::string reasoning;
  json::array thinking;
  json::array calls;
};

void take(const json::object& block, Parts& parts) {
  const std::string_view type = json::string_or(block, "type");
  if (type == "text") {
    parts.text += json::string_or(block, "text");
  } else if (type == "thinking") {
    parts.reasoning += json::string_or(block, "thinking");
    parts.thinking.push_back(block);
  } else if (type == "redacted_thinking") {
    parts.thinking.push_back(block);
  } else if (type == "tool_use") {
    const json::value* input = json::find(block, "input");
    parts.calls.push_back(json::object{
        {"id", json::string_or(block, "id")},
        {"type", "function"},
        {"function", json::object{{"name", json::string_or(block, "name")},
                                  {"arguments", input != nullptr ? json::write(*input) : std::string("{}")}}}});
  }
  // What Anthropic's own tools did on its servers has no counterpart.
}

json::object message_of(Parts parts, std::string_view refusal) {
  json::object message{{"role", "assistant"}};
  const bool silent = parts.text.empty() && !parts.calls.empty();
  message["content"] = silent ? json::value(nullptr) : json::value(parts.text);
  message["refusal"] = refusal.empty() ? json::value(nullptr) : json::value(refusal);
  if (!parts.reasoning.empty()) message["reasoning_content"] = parts.reasoning;
  if (!parts.thinking.empty()) message["thinking_blocks"] = std::move(parts.thinking);
  if (!parts.calls.empty()) message["tool_calls"] = std::move(parts.calls);
  return message;
}

}  // namespace

std::int64_t created_now() {
  return std::time(nullptr);
}

std::string_view finish_reason_of(std::string_view stop_reason) {
  if (stop_reason == "max_tokens" || stop_reason == "model_context_window_exceeded") return "length";
  if (stop_reason == "tool_use") return "tool_calls";
  if (stop_reason == "refusal") return "content_filter";
  return "stop";  // end_turn, stop_sequence, pause_turn
}

std::string_view refusal_of(const json::object& holder) {
  const json::value* details = json::find(holder, "stop_details");
  if (json::string_or(holder, "stop_reason") != "refusal" || details == nullptr || !details->is_object()) return {};
  return json::string_or(details->get_object(), "explanation");
}

json::object chat_usage(const json::object& usage) {
  const std::int64_t cached = json::int_or(usage, "cache_read_input_tokens");
  const std::int64_t prompt =
      json::int_or(usage, "input_tokens") + cached + json::int_or(usage, "cache_creation_input_tokens");
  const std::int64_t completion = json::int_or(usage, "output_tokens");
  json::object out{{"prompt_tokens", prompt},
                   {"completion_tokens", completion},
                   {"total_tokens", prompt + completion},
                   {"prompt_tokens_details", json::object{{"cached_tokens", cached}}}};
  const json::value* details = json::find(usage, "output_tokens_details");
  if (details != nullptr && details->is_object()) {
    out["completion_tokens_details"] =
        json::object{{"reasoning_tokens", json::int_or(details->get_object(), "thinking_tokens")}};
  }
  return out;
}

Result<std::string> to_chat_completion(std::string_view text) {
  const auto parsed = json::parse(text);
  if (!parsed || !parsed->is_object() || json::string_or(parsed->get_object(), "type") != "message") {
    return fail(ErrorCode::kEngineFailed, "the answer is no message of Anthropic's API");
  }
  const json::object& message = parsed->get_object();
  Parts parts;
  if (const json::value* content = json::find(message, "content"); content != nullptr && content->is_array()) {
    for (const json::value& block : content->get_array()) {
      if (block.is_object()) take(block.get_object(), parts);
    }
  }
  json::object choice{{"index", 0},
                      {"message", message_of(std::move(parts), refusal_of(message))},
                      {"logprobs", nullptr},
                      {"finish_reason", finish_reason_of(json::string_or(message, "stop_reason"))}};
  const json::value* usage = json::find(message, "usage");
  return json::write(json::object{
      {"id", json::string_or(message, "id")},
      {"object", "chat.completion"},
      {"created", created_now()},
      {"model", json::string_or(message, "model")},
      {"choices", json::array{std::move(choice)}},
      {"usage", chat_usage(usage != nullptr && usage->is_object() ? usage->get_object() : json::object())}});
}

std::optional<Error> anthropic_error(int status, std::string_view body) {
  const auto parsed = json::parse(body);
  if (!parsed || !parsed->is_object()) return std::nullopt;
  const json::value* found = json::find(parsed->get_object(), "error");
  if (found == nullptr || !found->is_object()) return std::nullopt;
  const std::string_view type = json::string_or(found->get_object(), "type");
  const std::string message(json::string_or(found->get_object(), "message"));
  if (type == "authentication_error" || type == "permission_error" || status == 401 || status == 403) {
    return Error{
        ErrorCode::kEngineFailed, "Anthropic refused the gateway's key; see the provider's api_key", {}, {}, 0};
  }
  if (type == "billing_error") {
    return Error{ErrorCode::kUnavailable, "Anthropic says that the gateway's account has no credit left", {}, {}, 0};
  }
  if (type == "overloaded_error" || status == 529) {
    return Error{ErrorCode::kOverloaded, "Anthropic is overloaded: " + message, {}, {}, 2};
  }
  if (type == "rate_limit_error") {
    // The answer's Retry-After header says how long; this is for when there is none.
    return Error{ErrorCode::kRateLimited, "Anthropic's limit for the gateway's key: " + message, {}, {}, 1};
  }
  if (type == "invalid_request_error") {
    const bool too_long = message.find("prompt is too long") != std::string::npos ||
                          message.find("exceed context limit") != std::string::npos;
    return Error{too_long ? ErrorCode::kContextLengthExceeded : ErrorCode::kInvalidArgument, message, {}, {}, 0};
  }
  if (type == "not_found_error") return Error{ErrorCode::kNotFound, message, {}, {}, 0};
  if (type == "request_too_large") return Error{ErrorCode::kPayloadTooLarge, message, {}, {}, 0};
  if (type == "timeout_error") return Error{ErrorCode::kEngineTimeout, message, {}, {}, 0};
  return Error{ErrorCode::kEngineFailed, fmt::format("Anthropic failed: {}", message), {}, {}, 0};
}

}  // namespace llm::dialects
