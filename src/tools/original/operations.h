#pragma once

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "mcp/server.h"
#include "tools/original/envelope.h"
#include "tools/tool_context.h"

// How a portmanteau tool is put together: one struct of arguments, one table of operations. The table is the only place
// that names them: the description, the check and llm_help come from it.
namespace llm::tools::original {

// What every operation gets. A value.
struct OriginalContext {
  ToolContext tools;
  const mcp::Server* server = nullptr;  // outlives all calls
};

template <class Arguments>
struct Operation {
  std::string_view name;
  std::string_view summary;  // a few words, for models
  access::Permission permission;
  Task<Result<Answer>> (*run)(OriginalContext context, Arguments arguments, mcp::ToolCall call);
};

struct Portmanteau {
  ToolDescription tool;
  std::vector<std::string> aliases;
};

// "… Operations: list_models (…), get_model_info (…)."
std::string described(std::string_view description,
                      std::span<const std::pair<std::string_view, std::string_view>> operations);

// kInvalidArgument with the nearest and all valid ones.
Error unknown_operation(std::string_view tool, std::string_view wanted, const std::vector<std::string>& valid);

// All the text fields of a portmanteau tool without its schemas' input and handler.
mcp::Tool bare_portmanteau(const Portmanteau& portmanteau, const ToolSettings& settings,
                           std::span<const std::pair<std::string_view, std::string_view>> operations,
                           access::PermissionSet permissions);

// The member `operation` of an input schema, with the valid values as examples: a wrong one is answered by the tool
// itself, in its own form.
void name_operations(json::object& schema, std::span<const std::pair<std::string_view, std::string_view>> operations);

template <class Arguments>
Task<Result<mcp::ToolResult>> run_operation(OriginalContext context, std::string_view tool,
                                            std::span<const Operation<Arguments>> operations, mcp::ToolCall call) {
  auto arguments =
      json::decode<Arguments>(json::value(std::move(call.arguments)), {.null_is_absent = true, .noun = "argument"});
  if (!arguments) co_return failure(arguments.error());
  const auto found = std::ranges::find(operations, std::string_view(arguments->operation), &Operation<Arguments>::name);
  if (found == operations.end()) {
    std::vector<std::string> valid;
    for (const auto& operation : operations) valid.emplace_back(operation.name);
    co_return failure(unknown_operation(tool, arguments->operation, valid),
                      {{"operations", json::array(valid.begin(), valid.end())}});
  }
  if (!call.caller->principal.may(found->permission)) {
    co_return failure(Error{
        ErrorCode::kPermissionDenied, fmt::format("you may not use {} of {}", found->name, tool), "/operation", {}, 0});
  }
  const auto run = found->run;
  auto answer = co_await run(std::move(context), std::move(*arguments), std::move(call));
  if (answer) co_return success(std::move(*answer));
  if (answer.error().code == ErrorCode::kCancelled) co_return fail(std::move(answer.error()));
  co_return failure(answer.error());
}

// `operations` live as long as the program.
template <class Arguments>
Result<void> add_portmanteau(mcp::Server& server, const ToolContext& context, const Portmanteau& portmanteau,
                             std::span<const Operation<Arguments>> operations) {
  std::vector<std::pair<std::string_view, std::string_view>> texts;
  for (const auto& operation : operations) texts.emplace_back(operation.name, operation.summary);
  // Who may use one of them sees the tool.
  access::PermissionSet permissions;
  for (const auto& operation : operations) permissions.add(operation.permission);
  mcp::Tool tool = bare_portmanteau(portmanteau, context.settings, texts, permissions);
  tool.input_schema = json::schema<Arguments>();
  name_operations(tool.input_schema, texts);
  tool.output_schema = json::schema<Envelope>();
  const OriginalContext original{context, &server};
  tool.handler = [original, name = portmanteau.tool.name, operations](mcp::ToolCall call) {
    return run_operation<Arguments>(original, name, operations, std::move(call));
  };
  return server.tools().add(std::move(tool));
}

}  // namespace llm::tools::original
