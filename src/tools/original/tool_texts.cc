#include "tools/original/tool_texts.h"

#include <memory>
#include <optional>

namespace llm::tools::original {
namespace {

using SharedTool = std::shared_ptr<const mcp::RegisteredTool>;

std::vector<SharedTool> visible(const OriginalContext& context, const mcp::Caller& caller) {
  std::vector<SharedTool> out;
  for (const auto& tool : context.server->tools().tools()->tools) {
    if (tool->tool.open_to(caller.principal)) out.push_back(tool);
  }
  return out;
}

std::string first_line(std::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

json::object entry(const mcp::Tool& tool, bool name_only) {
  json::object out{{"name", tool.name}, {"title", tool.title}};
  if (!name_only) out["description"] = first_line(tool.description);
  return out;
}

Result<SharedTool> find(const OriginalContext& context, const mcp::Caller& caller,
                        const std::optional<std::string>& wanted) {
  if (!wanted || wanted->empty()) {
    return fail(ErrorCode::kInvalidArgument, "say which tool with \"tool_name\"", "/tool_name");
  }
  std::vector<std::string> names;
  for (const SharedTool& tool : visible(context, caller)) {
    const auto& aliases = tool->tool.aliases;
    if (tool->tool.name == *wanted || std::ranges::find(aliases, *wanted) != aliases.end()) return tool;
    names.push_back(tool->tool.name);
  }
  const auto near = nearest(*wanted, names);
  return fail(ErrorCode::kNotFound,
              fmt::format("there is no tool \"{}\"; {}", wanted->substr(0, 128),
                          near.empty() ? std::string("list_tools names them all")
                                       : fmt::format("did you mean {}?", fmt::join(near, " or "))),
              "/tool_name");
}

bool has_words(std::string_view text, std::string_view words) {
  return std::ranges::all_of(split(words, ' '),
                             [&](std::string_view word) { return word.empty() || text.contains(word); });
}

}  // namespace

Answer list_tools(const OriginalContext& context, const mcp::Caller& caller, bool names_only) {
  json::array tools;
  for (const SharedTool& tool : visible(context, caller)) tools.push_back(entry(tool->tool, names_only));
  std::string message = fmt::format("{} tools", tools.size());
  return {std::move(message), {{"tools", std::move(tools)}}};
}

Result<Answer> tool_help(const OriginalContext& context, const mcp::Caller& caller,
                         const std::optional<std::string>& tool) {
  auto found = find(context, caller, tool);
  if (!found) return fail(std::move(found.error()));
  const mcp::Tool& one = (*found)->tool;
  Answer out{one.title, {{"name", one.name}, {"title", one.title}, {"description", one.description}}};
  out.text = fmt::format("{}: {}\n{}", one.name, one.title, one.description);
  return out;
}

Result<Answer> tool_signature(const OriginalContext& context, const mcp::Caller& caller,
                              const std::optional<std::string>& tool) {
  auto found = find(context, caller, tool);
  if (!found) return fail(std::move(found.error()));
  const mcp::Tool& one = (*found)->tool;
  return Answer{fmt::format("what {} takes and answers", one.name),
                {{"name", one.name}, {"inputSchema", one.input_schema}, {"outputSchema", one.output_schema}}};
}

Result<Answer> search_tools(const OriginalContext& context, const mcp::Caller& caller,
                            const std::optional<std::string>& query) {
  if (!query || query->empty()) {
    return fail(ErrorCode::kInvalidArgument, "say what to look for with \"query\"", "/query");
  }
  json::array tools;
  for (const SharedTool& tool : visible(context, caller)) {
    const std::string text = to_lower(tool->tool.name + " " + tool->tool.title + " " + tool->tool.description);
    if (has_words(text, to_lower(*query))) tools.push_back(entry(tool->tool, false));
  }
  std::string message = fmt::format("{} tools fit", tools.size());
  return Answer{std::move(message), {{"tools", std::move(tools)}}};
}

}  // namespace llm::tools::original
