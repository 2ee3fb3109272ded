// llm_chat and llm_generate.
#include <fmt/format.h>
#include <utility>

#include "tools/agent_loop.h"
#include "tools/arguments.h"
#include "tools/call_progress.h"
#include "tools/results.h"
#include "tools/tool_families.h"

namespace llm::tools {
namespace {

// Reading a model changes nothing that stays; that it is loaded on the way is the gateway's business.
constexpr mcp::ToolHints kReadsOnly{.read_only = true, .destructive = false, .idempotent = true, .open_world = false};

constexpr ToolDescription kChat{
    .name = "llm_chat",
    .title = "Chat with a local model",
    .description =
        "Ask a language model that runs on this machine. Use it for questions, instructions, summaries, translation, "
        "extraction (json_schema makes the answer conform to a JSON Schema) and, with images, for vision. Send the "
        "whole conversation each time; nothing is remembered between calls. The model is loaded on first use, which "
        "can take a minute. Returns the answer's text, and tool_calls if you gave tools.",
    .hints = kReadsOnly,
    .picture = Picture::kChat,
    .span = Span::kLong};

constexpr ToolDescription kGenerate{
    .name = "llm_generate",
    .title = "Continue a text with a local model",
    .description =
        "Let a language model on this machine continue a text exactly as given, without chat template or roles: for "
        "base models, code completion and prompts that already contain a template. For questions and instructions use "
        "llm_chat. Returns only what follows the prompt.",
    .hints = kReadsOnly,
    .picture = Picture::kText,
    .span = Span::kLong};

// A model that says nothing would otherwise give a result without anything to read.
std::string readable(const GenerateOutput& output) {
  if (!output.text.empty()) return output.text;
  return fmt::format("(The model generated no text; finish_reason: {}.)", output.finish_reason);
}

// The gateway's answer; what had come until then is kept if it fails.
Task<Result<json::object>> ask(ToolContext context, json::object request, const mcp::ToolCall& call,
                               std::optional<std::int64_t> max_tokens) {
  const auto api = context.api(call);
  CallProgress progress(call, context.settings.progress_interval, CallProgress::Unit::kTokens);
  progress.expect(max_tokens);
  auto answer = co_await api->generate(std::move(request), progress.sink(), call.cancel);
  if (!answer) progress.keep_all();
  co_return answer;
}

// The model runs bridged tools by itself until it answers.
Task<Result<mcp::ToolResult>> chat_with_tools(ToolContext context, ChatArguments arguments, mcp::ToolCall call) {
  if (arguments.tools || arguments.tool_choice) {
    co_return fail(ErrorCode::kInvalidArgument, "either tools (which you run) or use_tools (which the model runs)",
                   "/use_tools");
  }
  if (context.server == nullptr)
    co_return fail(ErrorCode::kUnsupported, "there are no tools to use here", "/use_tools");
  auto request = to_generate_request(arguments);
  if (!request) co_return fail(std::move(request.error()));
  const auto api = context.api(call);
  CallProgress progress(call, context.settings.progress_interval, CallProgress::Unit::kTokens);
  BridgedToolCaller tools(context.server->tools(), call.caller->principal);
  AgentLimits limits;
  if (arguments.max_turns) limits.max_turns = static_cast<int>(*arguments.max_turns);
  auto done = co_await run_agent(*api, tools, std::move(*request), *arguments.use_tools, limits, call, progress.sink());
  if (!done) {
    progress.keep_all();
    co_return fail(std::move(done.error()));
  }
  ChatOutput output = read_chat(done->answer);
  output.tool_calls_made = std::move(done->tool_calls_made);
  co_return result_of(output, readable(output));
}

Task<Result<mcp::ToolResult>> chat(ToolContext context, ChatArguments arguments, mcp::ToolCall call) {
  if (arguments.use_tools) {
    co_return co_await chat_with_tools(std::move(context), std::move(arguments), std::move(call));
  }
  auto request = to_generate_request(arguments);
  if (!request) co_return fail(std::move(request.error()));
  auto answer = co_await ask(std::move(context), std::move(*request), call, arguments.max_tokens);
  if (!answer) co_return fail(std::move(answer.error()));
  const ChatOutput output = read_chat(*answer);
  if (output.text.empty() && output.tool_calls) {
    const json::array calls(output.tool_calls->begin(), output.tool_calls->end());
    co_return result_of(output, json::write(json::object{{"tool_calls", calls}}));
  }
  co_return result_of(output, readable(output));
}

Task<Result<mcp::ToolResult>> generate(ToolContext context, GenerateArguments arguments, mcp::ToolCall call) {
  auto request = to_generate_request(arguments);
  if (!request) co_return fail(std::move(request.error()));
  auto answer = co_await ask(std::move(context), std::move(*request), call, arguments.max_tokens);
  if (!answer) co_return fail(std::move(answer.error()));
  const GenerateOutput output = read_generation(*answer);
  co_return result_of(output, readable(output));
}

}  // namespace

Result<void> add_generation_tools(mcp::ToolRegistry& registry, const ToolContext& context) {
  Result<void> added = add_tool<ChatArguments, ChatOutput>(registry, context, kChat, chat);
  if (added) added = add_tool<GenerateArguments, GenerateOutput>(registry, context, kGenerate, generate);
  return added;
}

}  // namespace llm::tools
