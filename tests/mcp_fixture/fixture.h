#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "mcp/server.h"

// What the official MCP conformance suite expects a server to offer: names, arguments and texts are the suite's. Served
// by the program mcp_fixture alone, never by the product.
namespace llm::fixture {

// Fills the registries. Fails the process if one refuses: that is a mistake in these files.
void add_plain_tools(mcp::Server& server);   // answers of every kind, progress, logging, changes of the lists
void add_asking_tools(mcp::Server& server);  // ask the client, in revisions with server requests (2025-11-25)
void add_input_tools(mcp::Server& server);   // answer input_required and are called again (2026-07-28)
void add_task_tools(mcp::Server& server);    // become tasks (extension io.modelcontextprotocol/tasks)
void add_resources(mcp::Server& server);
void add_prompts(mcp::Server& server);

using ToolHandler = Task<Result<mcp::ToolResult>> (*)(mcp::ToolCall);

// JSON text of this program.
json::object parse(std::string_view text);
// A tool whose schema is JSON text; without one it takes no arguments.
mcp::Tool make_tool(std::string name, std::string description, ToolHandler handler, std::string_view schema = {});
void add_tool(mcp::Server& server, mcp::Tool tool);

// Questions, and what was answered to them.
mcp::InputRequest elicit(std::string_view message, std::string_view schema);
mcp::InputRequest sample(std::string_view prompt, int max_tokens);
mcp::InputRequest list_roots();
mcp::ToolResult ask(mcp::InputRequired questions);
// The string `field` of what the user entered in reply to the elicitation `key`; empty if there is none.
std::string entered(const mcp::Context& call, std::string_view key, std::string_view field);
// The text of the sampled message in reply to `key`; empty if there is none.
std::string sampled(const mcp::Context& call, std::string_view key);

std::string png();  // a picture of one pixel
std::string wav();  // a millisecond of silence

// Waits that long. False if the call is cancelled first.
Task<bool> pause(CancelToken cancel, std::chrono::milliseconds duration);

}  // namespace llm::fixture
