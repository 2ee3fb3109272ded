#pragma once

#include <string>

#include "mcp/calls.h"
#include "mcp/jsonrpc.h"
#include "mcp/protocol.h"
#include "mcp/server.h"
#include "mcp/tool.h"

namespace llm::mcp {

// `tools/list` and `tools/call`, which all revisions share but for spelling. Each answers `to` once.
void list_tools(const Server& server, Calls& calls, const Origin& origin, const json::object& params,
                const ReplyTo& to);
// Moves the arguments out of `params`.
void call_tool(const Server& server, Calls& calls, Origin origin, json::object& params, ReplyTo to);

// The `result` member of an answer to tools/call.
std::string write_tool_result(const Server& server, const Revision& revision, const ToolResult& result);
std::string write_tool_error(const Server& server, const Revision& revision, const Error& error);

// What a handler's result means for its call: an error of the handler is a result too, for the model to read.
Round round_of(const Server& server, const RegisteredTool& tool, const Revision& revision, Result<ToolResult> result);

// What is wrong with a result, seen from outside: it breaks its own output schema, or is too long for clients. The
// former is a bug of the tool and becomes an error of the protocol, the latter one for the model.
std::optional<Refusal> check_tool_output(const RegisteredTool& tool, const ToolResult& result);

// The name and version in an Implementation object; empty where absent.
ClientInfo read_client_info(const json::value* implementation);

}  // namespace llm::mcp
