#pragma once

#include "base/error.h"
#include "mcp/server.h"
#include "tools/tool_context.h"

namespace llm::tools {

// Gives `server` what an MCP client sees of the models: the tools of the chosen toolsets, the resources under llm://
// and the prompts. `context.changes` and `context.server` are set. Before the first connection; the server outlives all
// calls. Fails only if a name is taken.
Result<void> register_everything(mcp::Server& server, ToolContext context);

}  // namespace llm::tools
