// llm_status and llm_help.
#include <string>
#include <utility>

#include "tools/arguments.h"
#include "tools/help_topics.h"
#include "tools/results.h"
#include "tools/tool_families.h"

namespace llm::tools {
namespace {

constexpr mcp::ToolHints kReadsOnly{.read_only = true, .destructive = false, .idempotent = true, .open_world = false};

constexpr ToolDescription kStatus{
    .name = "llm_status",
    .title = "State of the local LLM gateway",
    .description =
        "What is going on: loaded models and what they are doing, failures and their reasons, requests in "
        "flight, memory, processors and GPUs of the machine. Use it when a call fails or is slow.",
    .hints = kReadsOnly,
    .picture = Picture::kStatus};

constexpr ToolDescription kHelp{
    .name = "llm_help",
    .title = "How to use the local models",
    .description =
        "Short instructions for these tools: which one for what, how to get a model, how to get JSON, what an error "
        "means and what to do about it. Read the topic that fits before you guess.",
    .hints = kReadsOnly,
    .picture = Picture::kHelp};

Task<Result<mcp::ToolResult>> status(ToolContext context, NoArguments, mcp::ToolCall call) {
  const auto api = context.api(call);
  auto answer = co_await api->status();
  if (!answer) co_return fail(std::move(answer.error()));
  auto engines = co_await api->engines();
  if (!engines) co_return fail(std::move(engines.error()));
  co_return result_of(read_status(*answer, *engines));
}

Task<Result<mcp::ToolResult>> help(ToolContext, HelpArguments arguments, mcp::ToolCall) {
  HelpOutput output{std::string(json::enum_name(arguments.topic)), std::string(help_text(arguments.topic)), {}};
  for (const auto& [topic, name] : json::EnumNames<HelpTopic>::values) output.topics.emplace_back(name);
  std::string text = output.text;
  co_return result_of(output, std::move(text));
}

}  // namespace

Result<void> add_status_tools(mcp::ToolRegistry& registry, const ToolContext& context) {
  Result<void> added = add_tool<NoArguments, StatusOutput>(registry, context, kStatus, status);
  if (added) added = add_tool<HelpArguments, HelpOutput>(registry, context, kHelp, help);
  return added;
}

}  // namespace llm::tools
