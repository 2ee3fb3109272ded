#pragma once

#include <string>

#include "mcp/calls.h"
#include "mcp/jsonrpc.h"
#include "mcp/protocol.h"
#include "mcp/server.h"
#include "mcp/tool.h"

namespace llm::mcp {

// `tools/list` and `tools/call`, which all revisions share but for spelling. Each answers `to` once.
void list_tools(const Server& server, Calls& calls, const Revision& revision, const json::object& params,
                const ReplyTo& to);
// Moves the arguments out of `params`.
void call_tool(const Server& server, Calls& calls, const Revision& revision, json::object& params,
               const ClientInfo& client, ReplyTo to);

// The `result` member of an answer to tools/call.
std::string write_tool_result(const Server& server, const Revision& revision, const ToolResult& result);
std::string write_tool_error(const Server& server, const Revision& revision, const Error& error);

// The name and version in an Implementation object; empty where absent.
ClientInfo read_client_info(const json::value* implementation);

}  // namespace llm::mcp
