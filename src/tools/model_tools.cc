#include "tools/model_tools.h"

#include "tools/tool_families.h"

namespace llm::tools {

Result<void> register_model_tools(mcp::ToolRegistry& registry, inference::ModelApi& api, ToolSettings settings) {
  const ToolContext context{&api, settings};
  if (auto added = add_inference_tools(registry, context); !added) return added;
  return add_management_tools(registry, context);
}

}  // namespace llm::tools
