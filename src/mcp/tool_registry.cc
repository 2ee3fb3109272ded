#include "mcp/tool_registry.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace llm::mcp {
namespace {

bool usable_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
  };
  return !name.empty() && name.size() <= 128 && std::ranges::all_of(name, allowed);
}

bool is_object_schema(const json::object& schema) {
  return json::string_or(schema, "type") == "object";
}

// One entry of tools/list.
json::object describe_tool(const Tool& tool, const Revision& revision) {
  json::object out;
  out["name"] = tool.name;
  if (revision.titles && !tool.title.empty()) out["title"] = tool.title;
  if (!tool.description.empty()) out["description"] = tool.description;
  out["inputSchema"] = tool.input_schema;
  if (revision.structured_results && !tool.output_schema.empty() &&
      (revision.any_structure || is_object_schema(tool.output_schema))) {
    out["outputSchema"] = tool.output_schema;
  }
  if (!revision.annotations) return out;
  json::object hints;
  // Before tools had titles of their own, the hints carried one.
  if (!revision.titles && !tool.title.empty()) hints["title"] = tool.title;
  hints["readOnlyHint"] = tool.hints.read_only;
  if (!tool.hints.read_only) {  // meaningless for tools that change nothing
    hints["destructiveHint"] = tool.hints.destructive;
    hints["idempotentHint"] = tool.hints.idempotent;
  }
  hints["openWorldHint"] = tool.hints.open_world;
  out["annotations"] = std::move(hints);
  return out;
}

}  // namespace

Result<void> ToolRegistry::add(Tool tool) {
  if (!usable_name(tool.name)) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("The tool name '{}' is not usable: take 1 to 128 letters, digits, '_', '.' or '-'.", tool.name));
  }
  if (by_name_.contains(tool.name)) {
    return fail(ErrorCode::kAlreadyExists, fmt::format("A tool named '{}' exists already.", tool.name));
  }
  if (!is_object_schema(tool.input_schema)) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("The input schema of tool '{}' needs \"type\": \"object\" at its root.", tool.name));
  }
  if (!tool.handler) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("Tool '{}' has no handler.", tool.name));
  }
  const Tool& kept = entries_.emplace_back(std::move(tool));
  by_name_.emplace(kept.name, &kept);
  for (const Revision& revision : revisions()) {
    std::string& listing = listings_[revision.index];
    listing.pop_back();
    if (listing.size() > 1) listing.push_back(',');
    listing.append(json::write(describe_tool(kept, revision))).push_back(']');
  }
  return {};
}

const Tool* ToolRegistry::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

std::vector<std::string> ToolRegistry::names() const {
  std::vector<std::string> out;
  out.reserve(entries_.size());
  for (const Tool& tool : entries_) out.push_back(tool.name);
  return out;
}

}  // namespace llm::mcp
