#pragma once

#include "base/error.h"
#include "mcp/registry.h"
#include "tools/tool_context.h"

namespace llm::tools {

// Ready ways to put the local models to use: summarise, extract_to_json, translate, review_code, compare_models. Each
// tells the client's model which tool to call how, and what to make of the answer. Inside this layer only.
Result<void> add_prompts(mcp::PromptRegistry& registry, const ToolContext& context);

}  // namespace llm::tools
