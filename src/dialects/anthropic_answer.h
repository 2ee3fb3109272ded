#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "json/json.h"

// From Anthropic's answers to those of the OpenAI API.
namespace llm::dialects {

// A whole Message -> a chat.completion.
Result<std::string> to_chat_completion(std::string_view message);

// "end_turn" -> "stop" and so on; what is unknown is "stop".
std::string_view finish_reason_of(std::string_view stop_reason);

// Why the model refused, in words for people; empty: it did not, or does not say. `holder` has stop_reason and
// stop_details: a Message, or the delta of message_delta.
std::string_view refusal_of(const json::object& holder);

// {"input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens",
// "output_tokens_details": {"thinking_tokens"}} -> the `usage` of a chat.completion: the prompt is all three kinds of
// input, what came from the cache is told apart, and so is what went into thinking.
json::object chat_usage(const json::object& usage);

// {"type":"error","error":{"type","message"}}. `status`: of HTTP, 0 in a stream. nullopt: no such body.
std::optional<Error> anthropic_error(int status, std::string_view body);

// Now, in seconds since 1970: `created` of an answer, which Anthropic's does not have.
std::int64_t created_now();

}  // namespace llm::dialects
