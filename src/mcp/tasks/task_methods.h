#pragma once

#include <string_view>

#include "mcp/calls.h"
#include "mcp/server.h"

namespace llm::mcp {

// `tasks/get`, `tasks/update` and `tasks/cancel` of the extension io.modelcontextprotocol/tasks; `method` is one of
// them. Answers `to` once.
void handle_task_method(const Server& server, Calls& calls, std::string_view method, Origin origin,
                        json::object& params, ReplyTo to);

}  // namespace llm::mcp
