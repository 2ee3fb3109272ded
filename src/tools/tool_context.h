#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "json/fields.h"
#include "mcp/registry.h"
#include "mcp/server.h"
#include "tools/icons.h"
#include "tools/model_api_source.h"
#include "tools/original/hub_query.h"
#include "tools/toolsets.h"

namespace llm::tools {

struct ToolSettings {
  Toolsets toolsets{Toolset::kCore};
  std::chrono::milliseconds progress_interval{250};  // between two progress messages of one call; 0: every event
  std::chrono::milliseconds task_after{10'000};      // a long call becomes a task then, where the client knows tasks
};

// What every tool, resource and prompt needs. A value.
struct ToolContext {
  ModelApiSource api;
  ToolSettings settings = {};
  HubQuery hub = {};                      // asks the model hub, for llm_huggingface; empty: it cannot
  const mcp::Changes* changes = nullptr;  // hears what a tool changed; outlives the calls. Null: nobody listens
  const mcp::Server* server = nullptr;    // whose bridged tools a model may run; outlives the calls. Null: none
};

// How long a call may take, and so what it may become.
enum class Span {
  kShort,
  kLong,       // may become a task
  kResumable,  // the same, and calling again after a cut goes on where it stopped
};

struct ToolDescription {
  std::string_view name;
  std::string_view title;
  std::string_view description;
  mcp::ToolHints hints;
  Picture picture;
  Span span = Span::kShort;
};

template <class Arguments>
using ToolBody = Task<Result<mcp::ToolResult>> (*)(ToolContext context, Arguments arguments, mcp::ToolCall call);

// Decodes the arguments, then runs the tool. A member that is null counts as absent: models write it that way.
template <class Arguments>
Task<Result<mcp::ToolResult>> call_tool(ToolContext context, ToolBody<Arguments> body, mcp::ToolCall call) {
  auto arguments =
      json::decode<Arguments>(json::value(std::move(call.arguments)), {.null_is_absent = true, .noun = "argument"});
  if (!arguments) co_return fail(std::move(arguments.error()));
  co_return co_await body(std::move(context), std::move(*arguments), std::move(call));
}

// A tool without its schemas and handler, as the description and the table of toolsets have it.
mcp::Tool bare_tool(const ToolDescription& description, const ToolSettings& settings);
// Is it in one of the toolsets that are switched on?
bool wanted(std::string_view tool, const ToolSettings& settings);

// The input schema comes from the table that decodes the arguments, the output schema from the one that encodes
// results. A tool of a toolset that is off is left out.
template <class Arguments, class Output>
Result<void> add_tool(mcp::ToolRegistry& registry, const ToolContext& context, const ToolDescription& description,
                      ToolBody<Arguments> body) {
  if (!wanted(description.name, context.settings)) return {};
  mcp::Tool tool = bare_tool(description, context.settings);
  tool.input_schema = json::schema<Arguments>();
  tool.output_schema = json::schema<Output>();
  tool.handler = [context, body](mcp::ToolCall call) { return call_tool<Arguments>(context, body, std::move(call)); };
  return registry.add(std::move(tool));
}

// A result that `add_tool` promised. An empty text: the model reads the structure as JSON.
template <class Output>
mcp::ToolResult result_of(const Output& output, std::string text = {}) {
  return {.structured = json::encode(output), .text = std::move(text)};
}

}  // namespace llm::tools
