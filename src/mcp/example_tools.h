#pragma once

// Tools for the tests and benchmarks of this layer.

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include "async/event.h"
#include "base/error.h"
#include "json/json.h"
#include "mcp/server.h"
#include "mcp/tool.h"
#include "mcp/tool_registry.h"

namespace llm::mcp::example {

// Gives `message` back.
inline Task<Result<ToolResult>> echo(ToolCall call) {
  const json::value* message = json::find(call.arguments, "message");
  if (message == nullptr || !message->is_string()) {
    co_return fail(ErrorCode::kInvalidArgument, "message must be a string.", "/message");
  }
  co_return ToolResult{.structured = json::object{{"message", *message}}};
}

// Ends when cancelled.
inline Task<Result<ToolResult>> wait(ToolCall call) {
  Event cancelled(co_await boost::asio::this_coro::executor);
  const auto registration = call.cancel.on_cancel([&cancelled] { cancelled.notify(); });
  co_await cancelled.wait();
  call.progress(1000, {}, "must not be seen after a cancel");
  co_return fail(ErrorCode::kCancelled, "The call was stopped.");
}

// Reports progress, some of it wrong.
inline Task<Result<ToolResult>> steps(ToolCall call) {
  call.progress(1, 3, "one");
  call.progress(0.5, 3, "backwards, so nobody hears of it");
  call.progress(1, 3, "neither of standing still");
  call.progress(2.5, 3);
  call.progress(3);
  co_return ToolResult{.text = "done\nin three steps"};
}

inline Task<Result<ToolResult>> numbers(ToolCall) {
  co_return ToolResult{.structured = json::array{1, 2, 3}};
}
inline Task<Result<ToolResult>> nothing(ToolCall) {
  co_return ToolResult{};
}
inline Task<Result<ToolResult>> refuse(ToolCall) {
  co_return ToolResult{.structured = json::object{{"why", "because"}}, .text = "I would rather not.", .is_error = true};
}
inline Task<Result<ToolResult>> busy(ToolCall) {
  co_return fail(Error{ErrorCode::kOverloaded, "All places are taken.", {}, {}, 3});
}
inline Task<Result<ToolResult>> whoami(ToolCall call) {
  co_return ToolResult{.text = call.client.name + "/" + call.client.version + " as " + call.request_id.json};
}
inline Task<Result<ToolResult>> crash(ToolCall) {
  throw std::logic_error("a bug");
  co_return ToolResult{};
}
inline Task<Result<ToolResult>> cut(ToolCall) {
  co_return ToolResult{.structured = json::object{{"text", "half a \xC3"}, {"quote", "\""}}, .text = "half a \xE2\x82"};
}
// As many bytes as `bytes` says.
inline Task<Result<ToolResult>> huge(ToolCall call) {
  const auto bytes = std::clamp<std::int64_t>(json::int_or(call.arguments, "bytes", 200'000), 0, 200'000);
  co_return ToolResult{.text = std::string(static_cast<std::size_t>(bytes), 'x')};
}

inline json::object no_arguments() {
  return {{"type", "object"}, {"additionalProperties", false}};
}

// Fails the process if a tool is refused: that is a mistake in this file.
inline void add_tools(ToolRegistry& tools) {
  const json::object message{{"type", "string"}, {"description", "What to give back"}};
  const json::object echo_schema{
      {"type", "object"}, {"properties", json::object{{"message", message}}}, {"required", json::array{"message"}}};
  tools
      .add({.name = "echo",
            .title = "Echo",
            .description = "Gives the message back",
            .input_schema = echo_schema,
            .output_schema = echo_schema,
            .hints = {.read_only = true, .open_world = false},
            .handler = echo})
      .value();
  const auto plain = [&tools](std::string name, Task<Result<ToolResult>> (*handler)(ToolCall),
                              json::object output_schema = {}) {
    tools
        .add({.name = std::move(name),
              .input_schema = no_arguments(),
              .output_schema = std::move(output_schema),
              .handler = handler})
        .value();
  };
  plain("numbers", numbers, {{"type", "array"}});
  plain("wait", wait);
  plain("steps", steps);
  plain("nothing", nothing);
  plain("refuse", refuse);
  plain("busy", busy);
  plain("whoami", whoami);
  plain("crash", crash);
  plain("cut", cut);
  plain("huge", huge);
}

inline ServerInfo server_info() {
  return {.name = "example",
          .version = "1.2.3",
          .title = "Example server",
          .description = "For tests",
          .website = "https://example.com/",
          .instructions = "Call \"echo\"."};
}

}  // namespace llm::mcp::example
