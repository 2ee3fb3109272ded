#include "tools/tool_caller.h"

#include <fmt/format.h>
#include <memory>
#include <utility>

namespace llm::tools {

BridgedToolCaller::BridgedToolCaller(const mcp::ToolRegistry& registry, access::Principal caller)
    : registry_(registry), caller_(std::move(caller)) {}

bool BridgedToolCaller::usable(const mcp::RegisteredTool& tool) const {
  return !tool.group.empty() && tool.tool.open_to(caller_);
}

std::vector<OfferedTool> BridgedToolCaller::offered() const {
  std::vector<OfferedTool> out;
  const auto set = registry_.tools();
  for (const auto& tool : set->tools) {
    if (usable(*tool)) out.push_back({tool->tool.name, tool->tool.description, tool->tool.input_schema});
  }
  return out;
}

Task<Result<mcp::ToolResult>> BridgedToolCaller::call(std::string name, json::object arguments, mcp::Context context) {
  const auto set = registry_.tools();
  const auto found = set->by_name.find(name);
  if (found == set->by_name.end() || !usable(*found->second)) {
    co_return fail(ErrorCode::kNotFound, fmt::format("there is no tool '{}'", name));
  }
  const auto tool = found->second;  // held while it runs: a bridge may replace it meanwhile
  const json::value document = std::move(arguments);
  if (auto checked = tool->input.check(document); !checked) co_return fail(std::move(checked.error()));
  mcp::ToolCall call;
  static_cast<mcp::Context&>(call) = std::move(context);
  call.arguments = document.get_object();
  auto result = co_await tool->tool.handler(std::move(call));
  if (result && result->refusal) co_return fail(ErrorCode::kInvalidArgument, std::move(result->refusal->message));
  co_return result;
}

}  // namespace llm::tools
