#include "tools/original/operations.h"

namespace llm::tools::original {

using Texts = std::span<const std::pair<std::string_view, std::string_view>>;

std::string described(std::string_view description, Texts operations) {
  std::string out = fmt::format("{} Operations:", description);
  for (const auto& [name, summary] : operations) out += fmt::format("\n- {}: {}", name, summary);
  return out;
}

Error unknown_operation(std::string_view tool, std::string_view wanted, const std::vector<std::string>& valid) {
  const auto near = nearest(wanted, valid);
  const std::string meant = near.empty() ? std::string() : fmt::format(" Did you mean {}?", fmt::join(near, " or "));
  const std::string what = wanted.empty() ? std::string("operation is missing.")
                                          : fmt::format("{} has no operation \"{}\".", tool, wanted.substr(0, 128));
  return {ErrorCode::kInvalidArgument,
          fmt::format("{}{} Valid are: {}.", what, meant, fmt::join(valid, ", ")),
          "/operation",
          {},
          0};
}

mcp::Tool bare_portmanteau(const Portmanteau& portmanteau, const ToolSettings& settings, Texts operations,
                           access::PermissionSet permissions) {
  mcp::Tool tool = bare_tool(portmanteau.tool, settings);
  tool.description = described(portmanteau.tool.description, operations);
  tool.aliases = portmanteau.aliases;
  tool.or_any = permissions;
  // Named in a refusal: what most of those who lack all of them would be given.
  const auto least =
      std::ranges::find_if(access::permissions(), [&](const auto& one) { return permissions.lists(one.permission); });
  if (least != access::permissions().end()) tool.permission = least->permission;
  return tool;
}

void name_operations(json::object& schema, Texts operations) {
  json::object& operation = schema["properties"].as_object()["operation"].as_object();
  json::array& examples = operation["examples"].emplace_array();
  for (const auto& [name, summary] : operations) examples.emplace_back(name);
}

}  // namespace llm::tools::original
