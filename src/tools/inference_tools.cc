#include <fmt/format.h>
#include <utility>

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
        "whole "
        "conversation each time; nothing is remembered between calls. The model is loaded on first use, which can take "
        "a minute. Returns the answer's text, and tool_calls if you gave tools.",
    .hints = kReadsOnly};

constexpr ToolDescription kGenerate{
    .name = "llm_generate",
    .title = "Continue a text with a local model",
    .description =
        "Let a language model on this machine continue a text exactly as given, without chat template or roles: for "
        "base models, code completion and prompts that already contain a template. For questions and instructions use "
        "llm_chat. Returns only what follows the prompt.",
    .hints = kReadsOnly};

constexpr ToolDescription kEmbed{
    .name = "llm_embed",
    .title = "Embed texts with a local model",
    .description =
        "Turn texts into embedding vectors for search, clustering or comparison, with an embedding model on this "
        "machine (mode \"embedding\" in llm_list_models). Returns long lists of numbers meant for programs, not for "
        "reading; at most 2048 texts a call.",
    .hints = kReadsOnly};

// A model that says nothing would otherwise give a result without anything to read.
std::string readable(const GenerateOutput& output) {
  if (!output.text.empty()) return output.text;
  return fmt::format("(The model generated no text; finish_reason: {}.)", output.finish_reason);
}

Task<Result<mcp::ToolResult>> chat(ToolContext context, ChatArguments arguments, mcp::ToolCall call) {
  CallProgress progress(call.progress, context.settings.progress_interval, CallProgress::Unit::kTokens);
  auto answer = co_await context.api->generate(to_generate_request(arguments), progress.sink(), call.cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  const ChatOutput output = read_chat(*answer);
  if (output.text.empty() && output.tool_calls) {
    const json::array calls(output.tool_calls->begin(), output.tool_calls->end());
    co_return result_of(output, json::write(json::object{{"tool_calls", calls}}));
  }
  co_return result_of(output, readable(output));
}

Task<Result<mcp::ToolResult>> generate(ToolContext context, GenerateArguments arguments, mcp::ToolCall call) {
  CallProgress progress(call.progress, context.settings.progress_interval, CallProgress::Unit::kTokens);
  auto answer = co_await context.api->generate(to_generate_request(arguments), progress.sink(), call.cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  const GenerateOutput output = read_generation(*answer);
  co_return result_of(output, readable(output));
}

Task<Result<mcp::ToolResult>> embed(ToolContext context, EmbedArguments arguments, mcp::ToolCall call) {
  CallProgress progress(call.progress, context.settings.progress_interval, CallProgress::Unit::kTokens);
  auto answer = co_await context.api->embed(json::encode(arguments), progress.sink(), call.cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  co_return result_of(read_embeddings(*answer));
}

}  // namespace

Result<void> add_inference_tools(mcp::ToolRegistry& registry, ToolContext context) {
  if (auto added = add_tool<ChatArguments, ChatOutput>(registry, context, kChat, chat); !added) return added;
  if (auto added = add_tool<GenerateArguments, GenerateOutput>(registry, context, kGenerate, generate); !added) {
    return added;
  }
  return add_tool<EmbedArguments, EmbedOutput>(registry, context, kEmbed, embed);
}

}  // namespace llm::tools
