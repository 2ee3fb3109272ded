#pragma once

#include "base/error.h"
#include "json/json.h"

// From a chat request of the OpenAI API to one of Anthropic's Messages API (platform.claude.com/docs, "Create a
// Message").
namespace llm::dialects {

// What is asked for where the request says nothing: the API insists on a number.
inline constexpr std::int64_t kDefaultMaxTokens = 4096;

// kUnsupported and kInvalidArgument point into `chat`. What only tunes an answer and has no counterpart is left out.
Result<json::object> to_messages_request(const json::object& chat);

// Its parts. The conversation: {"system": […]?, "messages": […]}.
Result<json::object> to_messages(const json::array& messages);
// `tools`, `tool_choice`, `parallel_tool_calls` into `out`.
Result<void> add_tools(const json::object& chat, json::object& out);

}  // namespace llm::dialects
