#pragma once

#include <string_view>
#include <utility>

#include "inference/model_api.h"
#include "json/fields.h"
#include "mcp/tool.h"
#include "mcp/tool_registry.h"
#include "tools/model_tools.h"

namespace llm::tools {

// What every tool needs. A value; `api` is owned by whoever registered the tools.
struct ToolContext {
  inference::ModelApi* api;
  ToolSettings settings;
};

struct ToolDescription {
  std::string_view name;
  std::string_view title;
  std::string_view description;
  mcp::ToolHints hints;
};

template <class Arguments>
using ToolBody = Task<Result<mcp::ToolResult>> (*)(ToolContext context, Arguments arguments, mcp::ToolCall call);

// Decodes the arguments, then runs the tool. A member that is null counts as absent: models write it that way.
template <class Arguments>
Task<Result<mcp::ToolResult>> call_tool(ToolContext context, ToolBody<Arguments> body, mcp::ToolCall call) {
  auto arguments =
      json::decode<Arguments>(json::value(std::move(call.arguments)), {.null_is_absent = true, .noun = "argument"});
  if (!arguments) co_return fail(std::move(arguments.error()));
  co_return co_await body(context, std::move(*arguments), std::move(call));
}

// The input schema comes from the table that decodes the arguments, the output schema from the one that encodes
// results.
template <class Arguments, class Output>
Result<void> add_tool(mcp::ToolRegistry& registry, ToolContext context, const ToolDescription& description,
                      ToolBody<Arguments> body) {
  return registry.add({.name = std::string(description.name),
                       .title = std::string(description.title),
                       .description = std::string(description.description),
                       .input_schema = json::schema<Arguments>(),
                       .output_schema = json::schema<Output>(),
                       .hints = description.hints,
                       .handler = [context, body](mcp::ToolCall call) {
                         return call_tool<Arguments>(context, body, std::move(call));
                       }});
}

// A result that `add_tool` promised. An empty text: the model reads the structure as JSON.
template <class Output>
mcp::ToolResult result_of(const Output& output, std::string text = {}) {
  return {.structured = json::encode(output), .text = std::move(text)};
}

}  // namespace llm::tools
