#include "mcp/tasks/task_outcome.h"

#include <fmt/format.h>
#include <optional>
#include <utility>

#include "mcp/calls.h"
#include "mcp/tool_methods.h"

namespace llm::mcp {
namespace {

// Of results: a little less than a record may have.
constexpr std::size_t kResultDepth = 480;

json::object error_of(const Refusal& refusal) {
  json::value data;
  if (!refusal.data.empty()) data = json::parse(refusal.data).value_or(json::value());
  return error_object(refusal.code, refusal.message, std::move(data));
}

void complete(const std::string& text, TaskRecord& record) {
  auto result = json::parse(text, {.max_depth = kResultDepth});
  if (!result) {
    return record.set_failed(
        error_object(kInternalError, fmt::format("The result cannot be kept: {}", result.error().message)));
  }
  record.set_completed(std::move(result->get_object()));
}

void ask(InputRequired wanted, TaskRecord& record) {
  record.inputs.clear();
  record.state = std::move(wanted.state);
  record.requests.clear();
  for (auto& [key, request] : wanted.requests) {
    record.requests[key] = json::object{{"method", request.method}, {"params", std::move(request.params)}};
  }
  // Without questions it just wants to be called again.
  record.status = record.requests.empty() ? TaskStatus::kWorking : TaskStatus::kInputRequired;
}

}  // namespace

void apply_outcome(const Server& server, const RegisteredTool& tool, const Caller& caller, Result<ToolResult> outcome,
                   TaskRecord& record) {
  // The only revision with tasks.
  Round round = round_of(server, tool, modern_revision(), std::move(outcome));
  if (round.input_required) round.refusal = check_askable(caller, *round.input_required);
  if (round.refusal) return record.set_failed(error_of(*round.refusal));
  if (round.input_required) return ask(std::move(*round.input_required), record);
  complete(round.result, record);
}

void apply_cut(std::string_view why, const std::string& partial, TaskRecord& record) {
  record.set_failed(error_object(kInternalError,
                                 fmt::format("The server ended before this task was done, and {}.", why),
                                 partial.empty() ? json::value() : json::object{{"partial", partial}}));
}

}  // namespace llm::mcp
