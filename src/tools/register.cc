#include "tools/register.h"

#include "tools/original/original_tools.h"
#include "tools/prompts.h"
#include "tools/resources.h"
#include "tools/tool_families.h"

namespace llm::tools {

Result<void> register_everything(mcp::Server& server, ToolContext context) {
  context.changes = &server.changes();
  context.server = &server;
  mcp::ToolRegistry& tools = server.tools();
  // The order of tools/list: what is wanted most stands first.
  Result<void> added = add_generation_tools(tools, context);
  if (added) added = add_text_tools(tools, context);
  if (added) added = add_model_tools(tools, context);
  if (added) added = add_remove_tool(tools, context);
  if (added) added = add_status_tools(tools, context);
  if (added) added = add_original_tools(server, context);
  if (added) added = add_resources(server, context);
  if (added) added = add_prompts(server.prompts(), context);
  return added;
}

}  // namespace llm::tools
