// llm_help of the toolset `original`: its arguments, and the topics of the llm_help it takes the place of.
#include <utility>

#include "tools/help_topics.h"
#include "tools/original/arguments.h"
#include "tools/original/operations.h"
#include "tools/original/original_tools.h"
#include "tools/original/tool_texts.h"

namespace llm::tools::original {
namespace {

using TopicNames = json::EnumNames<tools::HelpTopic>;

Task<Result<Answer>> help(OriginalContext context, HelpArguments arguments, mcp::ToolCall call) {
  if (arguments.tool_name && !arguments.tool_name->empty()) {
    co_return tool_help(context, *call.caller, arguments.tool_name);
  }
  std::vector<std::string> names;
  for (const auto& [value, name] : TopicNames::values) names.emplace_back(name);
  const std::string wanted = arguments.topic.value_or("");
  const auto topic = wanted.empty() ? tools::HelpTopic::kOverview : json::enum_value<tools::HelpTopic>(wanted);
  if (!topic) {
    co_return fail(ErrorCode::kInvalidArgument,
                   fmt::format("there is no topic \"{}\"; there are {}", wanted.substr(0, 128), fmt::join(names, ", ")),
                   "/topic");
  }
  Answer out{.message = std::string(json::enum_name(*topic)),
             .data = {{"topic", json::enum_name(*topic)},
                      {"text", help_text(*topic)},
                      {"topics", json::array(names.begin(), names.end())}},
             .text = std::string(help_text(*topic))};
  co_return out;
}

Task<Result<Answer>> all_tools(OriginalContext context, HelpArguments, mcp::ToolCall call) {
  co_return list_tools(context, *call.caller, false);
}
Task<Result<Answer>> one_tool(OriginalContext context, HelpArguments arguments, mcp::ToolCall call) {
  co_return tool_help(context, *call.caller, arguments.tool_name);
}
Task<Result<Answer>> search(OriginalContext context, HelpArguments arguments, mcp::ToolCall call) {
  co_return search_tools(context, *call.caller, arguments.query);
}

using enum access::Permission;

constexpr Operation<HelpArguments> kOperations[] = {
    {"help", "instructions by topic, or about a tool (the default; topic, tool_name)", kAuthenticated, help},
    {"list_tools", "the tools of this server", kAuthenticated, all_tools},
    {"tool_help", "about one tool (tool_name)", kAuthenticated, one_tool},
    {"search_tools", "tools by words (query)", kAuthenticated, search},
};

}  // namespace

Result<void> add_help(mcp::Server& server, const ToolContext& context) {
  return add_portmanteau<HelpArguments>(
      server, context,
      {{.name = "llm_help",
        .title = "How to use the local models",
        .description = "Short instructions for these tools: read the topic that fits before you guess.",
        .hints = {.read_only = true, .destructive = false, .idempotent = true, .open_world = false},
        .picture = Picture::kHelp},
       {"llm_help_tool"}},
      kOperations);
}

}  // namespace llm::tools::original
