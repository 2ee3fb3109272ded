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
#include "mcp/content.h"
#include "mcp/registry.h"
#include "mcp/server.h"
#include "mcp/tool.h"

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
  co_return ToolResult{.text = call.caller->client.name + "/" + call.caller->client.version + " as " +
                               call.request_id.json};
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

// Says three things to the client's log.
inline Task<Result<ToolResult>> chatter(ToolCall call) {
  call.log(LogLevel::kDebug, "fine");
  call.log(LogLevel::kInfo, json::object{{"state", "well"}}, "example");
  call.log(LogLevel::kError, "bad");
  co_return ToolResult{.text = "said"};
}
// Asks for a name, then for a colour.
inline Task<Result<ToolResult>> interview(ToolCall call) {
  const auto ask = [](std::string_view member, std::string_view message) {
    const json::object schema{{"type", "object"},
                              {"properties", json::object{{member, json::object{{"type", "string"}}}}}};
    return InputRequest{"elicitation/create", {{"message", message}, {"requestedSchema", schema}}};
  };
  if (call.state.empty()) {
    const json::object* name = call.input("name");
    if (name == nullptr) co_return ToolResult{.input_required = InputRequired{{{"name", ask("name", "Who?")}}}};
    const std::string state = "name=" + json::write(json::value(*name));
    co_return ToolResult{.input_required = InputRequired{{{"colour", ask("colour", "Which colour?")}}, state}};
  }
  const json::object* colour = call.input("colour");
  if (colour == nullptr) {
    co_return ToolResult{.input_required = InputRequired{{{"colour", ask("colour", "Which colour?")}}, call.state}};
  }
  co_return ToolResult{.text = call.state + " colour=" + json::write(json::value(*colour))};
}
// A result that is not what its schema promises.
inline Task<Result<ToolResult>> liar(ToolCall) {
  co_return ToolResult{.structured = json::object{{"message", 5}}};
}
inline Task<Result<ToolResult>> blocks(ToolCall) {
  co_return ToolResult{
      .text = "see",
      .content = {image_content("png", "image/png"), audio_content("wav", "audio/wav"),
                  resource_link("example://fixed", "fixed"), embedded_text("example://part", "text/plain", "part")}};
}

inline json::object no_arguments() {
  return {{"type", "object"}, {"additionalProperties", false}};
}

// Fails the process if a tool is refused: that is a mistake in this file.
inline void add_plain(ToolRegistry& tools, std::string name, Task<Result<ToolResult>> (*handler)(ToolCall),
                      json::object output_schema = {}) {
  tools
      .add({.name = std::move(name),
            .input_schema = no_arguments(),
            .output_schema = std::move(output_schema),
            .handler = handler})
      .value();
}

inline json::object echo_schema() {
  const json::object message{{"type", "string"}, {"description", "What to give back"}};
  return {{"type", "object"}, {"properties", json::object{{"message", message}}}, {"required", json::array{"message"}}};
}

inline void add_tools(ToolRegistry& tools) {
  tools
      .add({.name = "echo",
            .title = "Echo",
            .description = "Gives the message back",
            .input_schema = echo_schema(),
            .output_schema = echo_schema(),
            .hints = {.read_only = true, .open_world = false},
            .handler = echo})
      .value();
  add_plain(tools, "numbers", numbers, {{"type", "array"}});
  add_plain(tools, "wait", wait);
  add_plain(tools, "steps", steps);
  add_plain(tools, "nothing", nothing);
  add_plain(tools, "refuse", refuse);
  add_plain(tools, "busy", busy);
  add_plain(tools, "whoami", whoami);
  add_plain(tools, "crash", crash);
  add_plain(tools, "cut", cut);
  tools
      .add({.name = "huge",
            .input_schema = {{"type", "object"},
                             {"properties", json::object{{"bytes", json::object{{"type", "integer"}}}}}},
            .handler = huge})
      .value();
}

inline Task<Result<ResourceContents>> read_fixed(ResourceRead request) {
  co_return ResourceContents{.parts = {{.uri = request.uri, .mime_type = "text/plain", .data = "fixed text"}}};
}
inline Task<Result<ResourceContents>> read_item(ResourceRead request) {
  const std::string& id = request.variables.at("id");
  if (id == "none") co_return fail(ErrorCode::kNotFound, "no such item");
  co_return ResourceContents{.parts = {{.uri = request.uri, .data = id, .binary = true}}};
}
inline Task<Result<std::vector<std::string>>> complete_word(CompletionRequest request) {
  std::vector<std::string> out;
  for (const std::string_view word : {"paris", "park", "party", "tree"}) {
    if (word.starts_with(request.value)) out.emplace_back(word);
  }
  co_return out;
}
inline Task<Result<PromptResult>> greet(PromptCall call) {
  const auto style = call.arguments.find("style");
  const std::string text =
      "Greet " + call.arguments.at("name") + (style == call.arguments.end() ? "" : " in style " + style->second);
  co_return PromptResult{.description = "A greeting", .messages = {{"user", text_content(text)}}};
}

inline void add_resources(ResourceRegistry& resources) {
  resources
      .add(Resource{.uri = "example://fixed", .name = "fixed", .title = "Fixed", .mime_type = "text/plain", .size = 10},
           read_fixed)
      .value();
  resources
      .add(ResourceTemplate{.uri_template = "example://items/{id}", .name = "item"}, read_item, {{"id", complete_word}})
      .value();
  resources.add_lister(access::Permission::kModelsRead, [](Context) -> Task<Result<std::vector<Resource>>> {
    std::vector<Resource> out{{.uri = "example://items/a", .name = "a"}, {.uri = "example://items/b", .name = "b"}};
    co_return out;
  });
  resources.allow_subscriptions();
}

inline void add_prompts(PromptRegistry& prompts) {
  prompts
      .add({.name = "greet",
            .title = "Greet",
            .description = "Greets somebody",
            .arguments = {{.name = "name", .description = "Who", .required = true, .complete = complete_word},
                          {.name = "style"}},
            .handler = greet})
      .value();
}

inline void add_more_tools(ToolRegistry& tools) {
  add_plain(tools, "chatter", chatter);
  add_plain(tools, "interview", interview);
  add_plain(tools, "liar", liar, echo_schema());
  add_plain(tools, "blocks", blocks);
}

// All that a server can have, beside the plain tools.
inline void add_all(Server& server) {
  add_more_tools(server.tools());
  add_resources(server.resources());
  add_prompts(server.prompts());
  server.announce_changes(true, true, true);
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
