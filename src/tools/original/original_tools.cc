#include "tools/original/original_tools.h"

#include <algorithm>

namespace llm::tools {

Result<void> add_original_tools(mcp::Server& server, const ToolContext& context) {
  if (std::ranges::count(context.settings.toolsets, Toolset::kOriginal) == 0) return {};
  Result<void> added = original::add_generation(server, context);
  if (added) added = original::add_models(server, context);
  if (added) added = original::add_engine(server, context);
  if (added) added = original::add_health(server, context);
  if (added) added = original::add_hugging_face(server, context);
  if (added) added = original::add_providers(server, context);
  if (added) added = original::add_vllm(server, context);
  if (added) added = original::add_help(server, context);
  return added;
}

}  // namespace llm::tools
