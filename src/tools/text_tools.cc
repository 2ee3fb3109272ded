// llm_embed, llm_rerank, llm_tokenize: what models make of texts without writing any.
#include <fmt/format.h>
#include <utility>

#include "tools/arguments.h"
#include "tools/call_progress.h"
#include "tools/results.h"
#include "tools/tool_families.h"

namespace llm::tools {
namespace {

constexpr mcp::ToolHints kReadsOnly{.read_only = true, .destructive = false, .idempotent = true, .open_world = false};

constexpr ToolDescription kEmbed{
    .name = "llm_embed",
    .title = "Embed texts with a local model",
    .description =
        "Turn texts into embedding vectors for search, clustering or comparison, with an embedding model on this "
        "machine (mode \"embedding\" in llm_list_models). Returns long lists of numbers meant for programs, not for "
        "reading; at most 2048 texts a call. To find out which texts fit a question, llm_rerank is shorter.",
    .hints = kReadsOnly,
    .picture = Picture::kVector};

constexpr ToolDescription kRerank{
    .name = "llm_rerank",
    .title = "Rank texts with a local model",
    .description =
        "Sort texts by how well they answer a query, with a reranking model on this machine (mode \"rerank\" in "
        "llm_list_models). Use it to choose the passages that are worth reading. Returns places in your list and "
        "scores, the best first.",
    .hints = kReadsOnly,
    .picture = Picture::kVector};

constexpr ToolDescription kTokenize{
    .name = "llm_tokenize",
    .title = "Count tokens",
    .description =
        "How many tokens a text is for a model on this machine. Use it before a long llm_chat to see whether the text "
        "fits the model's context_length; a conversation's template adds a few tokens for each message.",
    .hints = kReadsOnly,
    .picture = Picture::kText};

Task<Result<mcp::ToolResult>> embed(ToolContext context, EmbedArguments arguments, mcp::ToolCall call) {
  const auto api = context.api(call);
  CallProgress progress(call, context.settings.progress_interval, CallProgress::Unit::kTokens);
  auto answer = co_await api->embed(json::encode(arguments), progress.sink(), call.cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  co_return result_of(read_embeddings(*answer));
}

Task<Result<mcp::ToolResult>> rerank(ToolContext context, RerankArguments arguments, mcp::ToolCall call) {
  const auto api = context.api(call);
  CallProgress progress(call, context.settings.progress_interval, CallProgress::Unit::kTokens);
  auto answer = co_await api->rerank(json::encode(arguments), progress.sink(), call.cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  RerankOutput output = read_ranking(*answer);
  // Not every engine knows top_n.
  if (arguments.top_n && output.results.size() > static_cast<std::size_t>(*arguments.top_n)) {
    output.results.resize(static_cast<std::size_t>(*arguments.top_n));
  }
  co_return result_of(output);
}

Task<Result<mcp::ToolResult>> tokenize(ToolContext context, TokenizeArguments arguments, mcp::ToolCall call) {
  const auto api = context.api(call);
  CallProgress progress(call, context.settings.progress_interval, CallProgress::Unit::kTokens);
  auto answer = co_await api->tokenize(to_tokenize_request(arguments), progress.sink(), call.cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  co_return result_of(read_tokens(*answer));
}

}  // namespace

Result<void> add_text_tools(mcp::ToolRegistry& registry, const ToolContext& context) {
  Result<void> added = add_tool<EmbedArguments, EmbedOutput>(registry, context, kEmbed, embed);
  if (added) added = add_tool<RerankArguments, RerankOutput>(registry, context, kRerank, rerank);
  if (added) added = add_tool<TokenizeArguments, TokenizeOutput>(registry, context, kTokenize, tokenize);
  return added;
}

}  // namespace llm::tools
