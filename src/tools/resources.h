#pragma once

#include "base/error.h"
#include "mcp/server.h"
#include "tools/tool_context.h"

namespace llm::tools {

// llm://models, llm://models/{name}, llm://engines, llm://status, llm://logs/{engine}; each installed model is listed,
// too. Reading needs models:read, logs need admin. Inside this layer only.
Result<void> add_resources(mcp::Server& server, const ToolContext& context);

}  // namespace llm::tools
