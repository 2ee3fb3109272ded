#pragma once

#include "base/error.h"
#include "mcp/tool_registry.h"
#include "tools/tool_context.h"

namespace llm::tools {

// Tools that ask a model, and tools about the models and the gateway. Inside this layer only.
Result<void> add_inference_tools(mcp::ToolRegistry& registry, ToolContext context);
Result<void> add_management_tools(mcp::ToolRegistry& registry, ToolContext context);

}  // namespace llm::tools
