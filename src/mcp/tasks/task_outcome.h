#pragma once

#include "base/error.h"
#include "mcp/server.h"
#include "mcp/tasks/task_record.h"
#include "mcp/tool.h"

namespace llm::mcp {

// Writes into a record what its tool's handler returned: the end of the task, or what it asks.
void apply_outcome(const Server& server, const RegisteredTool& tool, const Caller& caller, Result<ToolResult> outcome,
                   TaskRecord& record);

// The task was cut: its process ended, and the tool cannot be called again because of `why`.
void apply_cut(std::string_view why, const std::string& partial, TaskRecord& record);

}  // namespace llm::mcp
