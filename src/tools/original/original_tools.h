#pragma once

#include "base/error.h"
#include "mcp/server.h"
#include "tools/tool_context.h"

namespace llm::tools {

// The portmanteau tools of the Python original, if the toolset is on: one tool for each subject, an argument
// `operation`, answers {success, message, data}. Its llm_help takes the place of the other one. `server` outlives all
// calls. Fails only if a name is taken.
Result<void> add_original_tools(mcp::Server& server, const ToolContext& context);

namespace original {

// By subject, each in a file of its own.
Result<void> add_health(mcp::Server& server, const ToolContext& context);
Result<void> add_models(mcp::Server& server, const ToolContext& context);
Result<void> add_generation(mcp::Server& server, const ToolContext& context);
Result<void> add_providers(mcp::Server& server, const ToolContext& context);  // llm_ollama, llm_lmstudio
Result<void> add_vllm(mcp::Server& server, const ToolContext& context);
Result<void> add_engine(mcp::Server& server, const ToolContext& context);
Result<void> add_hugging_face(mcp::Server& server, const ToolContext& context);
Result<void> add_help(mcp::Server& server, const ToolContext& context);

}  // namespace original
}  // namespace llm::tools
