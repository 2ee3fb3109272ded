#include <fmt/format.h>
#include <memory>
#include <utility>

#include "fixture.h"
#include "mcp/content.h"

namespace llm::fixture {
namespace {

using mcp::ToolCall;
using mcp::ToolResult;
using std::chrono::milliseconds;

Task<Result<ToolResult>> simple_text(ToolCall) {
  co_return ToolResult{.text = "This is a simple text response for testing."};
}

Task<Result<ToolResult>> image_content(ToolCall) {
  co_return ToolResult{.content = {mcp::image_content(png(), "image/png")}};
}

Task<Result<ToolResult>> audio_content(ToolCall) {
  co_return ToolResult{.content = {mcp::audio_content(wav(), "audio/wav")}};
}

Task<Result<ToolResult>> embedded_resource(ToolCall) {
  co_return ToolResult{.content = {mcp::embedded_text("test://embedded-resource", "text/plain",
                                                      "This is an embedded resource content.")}};
}

Task<Result<ToolResult>> multiple_content_types(ToolCall) {
  co_return ToolResult{.text = "Multiple content types test:",
                       .content = {mcp::image_content(png(), "image/png"),
                                   mcp::embedded_text("test://mixed-content-resource", "application/json",
                                                      R"({"test":"data","value":123})")}};
}

Task<Result<ToolResult>> error_handling(ToolCall) {
  co_return ToolResult{.text = "This tool intentionally returns an error for testing", .is_error = true};
}

constexpr milliseconds kStep{50};

Task<Result<ToolResult>> with_progress(ToolCall call) {
  for (const int progress : {0, 50, 100}) {
    call.progress(progress, 100, fmt::format("Completed step {} of 100", progress));
    if (progress < 100) co_await pause(call.cancel, kStep);
  }
  co_return ToolResult{.text = "Tool with progress executed"};
}

Task<Result<ToolResult>> with_logging(ToolCall call) {
  call.log(mcp::LogLevel::kInfo, "Tool execution started");
  co_await pause(call.cancel, kStep);
  call.log(mcp::LogLevel::kInfo, "Tool processing data");
  co_await pause(call.cancel, kStep);
  call.log(mcp::LogLevel::kInfo, "Tool execution completed");
  co_return ToolResult{.text = "Tool with logging executed"};
}

Task<Result<ToolResult>> logging_tool(ToolCall call) {
  call.log(mcp::LogLevel::kInfo, "Heard only by those who ask for it", "fixture");
  co_return ToolResult{.text = "Logged"};
}

Task<Result<ToolResult>> json_schema_tool(ToolCall call) {
  co_return ToolResult{.text = json::write(call.arguments)};
}

// Lets the stream of its request go; the client comes back for the answer.
Task<Result<ToolResult>> reconnection(ToolCall call) {
  if (call.close_stream) call.close_stream();
  co_await pause(call.cancel, 2 * kStep);
  co_return ToolResult{.text = "Reconnection test completed"};
}

Task<Result<ToolResult>> region_header(ToolCall call) {
  co_return ToolResult{.text = fmt::format("Region: {}", json::string_or(call.arguments, "region"))};
}

Task<Result<ToolResult>> dynamic_tool(ToolCall) {
  co_return ToolResult{.text = "I come and go."};
}

Task<Result<ToolResult>> toggle_tool(mcp::Server* server) {
  constexpr std::string_view kName = "test_dynamic_tool";
  std::vector<mcp::Tool> tools;
  if (!server->tools().tools()->by_name.contains(kName)) {
    tools.push_back(make_tool(std::string(kName), "There every other time", dynamic_tool));
  }
  if (auto replaced = server->tools().replace("dynamic", std::move(tools)); !replaced) {
    co_return fail(std::move(replaced.error()));
  }
  co_return ToolResult{.text = "The list of tools changed"};
}

Task<Result<ToolResult>> add_prompt(mcp::Server* server) {
  mcp::Prompt prompt{.name = fmt::format("test_dynamic_prompt_{}", server->prompts().prompts()->size()),
                     .description = "Added while the server runs",
                     .handler = [](mcp::PromptCall) -> Task<Result<mcp::PromptResult>> {
                       co_return mcp::PromptResult{.messages = {{"user", mcp::text_content("Nothing to say.")}}};
                     }};
  if (auto added = server->prompts().add(std::move(prompt)); !added) co_return fail(std::move(added.error()));
  co_return ToolResult{.text = "The list of prompts changed"};
}

Task<Result<ToolResult>> touch_resource(mcp::Server* server) {
  server->changes().announce({.kind = mcp::Change::Kind::kResource, .subject = "test://watched-resource"});
  co_return ToolResult{.text = "The watched resource changed"};
}

// Ends when cancelled.
Task<Result<ToolResult>> endless(ToolCall call) {
  call.progress(1, {}, "waiting");
  while (co_await pause(call.cancel, std::chrono::hours(1))) {
  }
  co_return fail(ErrorCode::kCancelled, "The call was stopped.");
}

// The suite compares the listed schema with this one.
constexpr std::string_view kSchema2020 = R"({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "$defs": {"address": {"$anchor": "addressDef", "type": "object",
                        "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
  "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"},
                 "contactMethod": {"type": "string", "enum": ["phone", "email"]},
                 "phone": {"type": "string"}, "email": {"type": "string"}},
  "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
  "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
  "then": {"required": ["phone"]},
  "else": {"required": ["email"]},
  "additionalProperties": false
})";

}  // namespace

void add_plain_tools(mcp::Server& server) {
  const auto add = [&server](std::string name, std::string description, ToolHandler handler,
                             std::string_view schema = {}) {
    add_tool(server, make_tool(std::move(name), std::move(description), handler, schema));
  };
  add("test_simple_text", "Answers with text", simple_text);
  add("test_image_content", "Answers with a picture", image_content);
  add("test_audio_content", "Answers with sound", audio_content);
  add("test_embedded_resource", "Answers with a resource", embedded_resource);
  add("test_multiple_content_types", "Answers with text, a picture and a resource", multiple_content_types);
  add("test_error_handling", "Fails", error_handling);
  add("test_tool_with_progress", "Reports progress", with_progress);
  add("test_tool_with_logging", "Logs while it runs", with_logging);
  add("test_logging_tool", "Logs once", logging_tool);
  add("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", json_schema_tool, kSchema2020);
  add("test_reconnection", "Answers after its stream was closed", reconnection);
  add("test_endless", "Ends when cancelled", endless);
  add("test_x_mcp_header", "Has an argument that HTTP clients repeat in a header", region_header,
      R"({"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}},"required":["region"]})");

  const auto trigger = [&server](std::string name, std::string description,
                                 Task<Result<ToolResult>> (*act)(mcp::Server*)) {
    mcp::Tool tool = make_tool(std::move(name), std::move(description), nullptr);
    tool.handler = [act, served = &server](ToolCall) { return act(served); };
    add_tool(server, std::move(tool));
  };
  trigger("test_trigger_tool_change", "Changes the list of tools", toggle_tool);
  trigger("test_trigger_prompt_change", "Changes the list of prompts", add_prompt);
  trigger("test_trigger_resource_change", "Changes test://watched-resource", touch_resource);
}

}  // namespace llm::fixture
