#include "tools/tool_context.h"

#include <algorithm>

namespace llm::tools {

bool wanted(std::string_view tool, const ToolSettings& settings) {
  const Membership* member = membership(tool);
  // The toolset `original` brings an llm_help that answers for both.
  if (tool == "llm_help" && std::ranges::count(settings.toolsets, Toolset::kOriginal) > 0) return false;
  return member != nullptr && std::ranges::count(settings.toolsets, member->toolset) > 0;
}

mcp::Tool bare_tool(const ToolDescription& description, const ToolSettings& settings) {
  mcp::Tool tool;
  tool.name = description.name;
  tool.title = description.title;
  tool.description = description.description;
  tool.hints = description.hints;
  tool.icons = icons(description.picture);
  if (const Membership* member = membership(description.name)) tool.permission = member->permission;
  if (description.span != Span::kShort) {
    tool.task = mcp::TaskSupport::kOptional;
    tool.task_after = settings.task_after;
    tool.resumable = description.span == Span::kResumable;
  }
  return tool;
}

}  // namespace llm::tools
