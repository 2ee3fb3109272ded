#pragma once

#include "base/error.h"
#include "mcp/registry.h"
#include "tools/tool_context.h"

namespace llm::tools {

// The tools by what they are about, each family in a file of its own. Inside this layer only. They fail only if a name
// is taken.
Result<void> add_generation_tools(mcp::ToolRegistry& registry, const ToolContext& context);
Result<void> add_text_tools(mcp::ToolRegistry& registry, const ToolContext& context);
Result<void> add_model_tools(mcp::ToolRegistry& registry, const ToolContext& context);
Result<void> add_remove_tool(mcp::ToolRegistry& registry, const ToolContext& context);
Result<void> add_status_tools(mcp::ToolRegistry& registry, const ToolContext& context);

}  // namespace llm::tools
