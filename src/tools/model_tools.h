#pragma once

#include <chrono>

#include "base/error.h"
#include "inference/model_api.h"
#include "mcp/tool_registry.h"

namespace llm::tools {

struct ToolSettings {
  std::chrono::milliseconds progress_interval{250};  // between two progress messages of one call; 0: every event
};

// Adds the tools with which MCP clients use and manage models: llm_chat, llm_generate, llm_embed, llm_list_models,
// llm_model_info, llm_load_model, llm_unload_model, llm_pull_model, llm_status. `api` outlives the registry's calls and
// is used on the loop of the connection that calls. Fails only if a name is taken.
Result<void> register_model_tools(mcp::ToolRegistry& registry, inference::ModelApi& api, ToolSettings settings = {});

}  // namespace llm::tools
