#include <fmt/format.h>
#include <utility>

#include "fixture.h"

namespace llm::fixture {
namespace {

using mcp::InputRequired;
using mcp::ToolCall;
using mcp::ToolResult;
using std::chrono::milliseconds;

Task<Result<ToolResult>> greet(ToolCall call) {
  co_return ToolResult{.text = fmt::format("Hello, {}!", json::string_or(call.arguments, "name"))};
}

Task<Result<ToolResult>> slow_compute(ToolCall call) {
  const double seconds = json::number_or(call.arguments, "seconds");
  if (!co_await pause(call.cancel, milliseconds(static_cast<std::int64_t>(seconds * 1000)))) {
    co_return fail(ErrorCode::kCancelled, "The computation was stopped.");
  }
  co_return ToolResult{
      .text = fmt::format("{}: computed for {} s", json::string_or(call.arguments, "label", "unnamed"), seconds)};
}

Task<Result<ToolResult>> failing_job(ToolCall call) {
  co_await pause(call.cancel, milliseconds(1000));
  co_return ToolResult{.text = "This job always fails", .is_error = true};
}

Task<Result<ToolResult>> protocol_error_job(ToolCall) {
  ToolResult result;
  result.refusal = mcp::Refusal{mcp::kInternalError, "This job breaks the protocol", {}};
  co_return result;
}

constexpr std::string_view kConfirm =
    R"({"type":"object","properties":{"confirm":{"type":"boolean"}},"required":["confirm"]})";
constexpr std::string_view kName = R"({"type":"object","properties":{"name":{"type":"string"}},"required":["name"]})";

Task<Result<ToolResult>> confirm_delete(ToolCall call) {
  const std::string_view filename = json::string_or(call.arguments, "filename");
  const json::object* answer = call.input("confirm");
  if (answer == nullptr) co_return ask({{{"confirm", elicit(fmt::format("Delete {}?", filename), kConfirm)}}});
  const json::value* content = json::find(*answer, "content");
  const bool confirmed = content != nullptr && content->is_object() &&
                         json::bool_or(content->get_object(), "confirm") &&
                         json::string_or(*answer, "action") == "accept";
  co_return ToolResult{.text = fmt::format("{} {}", confirmed ? "Deleted" : "Kept", filename)};
}

Task<Result<ToolResult>> multi_input(ToolCall call) {
  InputRequired wanted;
  if (call.input("first") == nullptr) wanted.requests["first"] = elicit("The first name?", kName);
  if (call.input("second") == nullptr) wanted.requests["second"] = elicit("The second name?", kName);
  if (!wanted.requests.empty()) co_return ask(std::move(wanted));
  co_return ToolResult{.text =
                           fmt::format("{} and {}", entered(call, "first", "name"), entered(call, "second", "name"))};
}

// Asks at once, then works for longer than `kSoon`: so the question is one of the request, the work one of a task.
constexpr milliseconds kSoon{500};

Task<Result<ToolResult>> with_task(ToolCall call) {
  const std::string name = entered(call, "user_name", "name");
  if (name.empty()) co_return ask({{{"user_name", elicit("What is your name?", kName)}}});
  co_await pause(call.cancel, 2 * kSoon);
  co_return ToolResult{.text = fmt::format("Worked for {}", name)};
}

}  // namespace

void add_task_tools(mcp::Server& server) {
  add_tool(server, make_tool("greet", "Never a task", greet,
                             R"({"type":"object","properties":{"name":{"type":"string"}},"required":["name"]})"));
  const auto add = [&server](std::string name, std::string description, ToolHandler handler, mcp::TaskSupport support,
                             std::string_view schema = {}, milliseconds after = {}) {
    mcp::Tool tool = make_tool(std::move(name), std::move(description), handler, schema);
    tool.task = support;
    tool.task_after = after;
    add_tool(server, std::move(tool));
  };
  using enum mcp::TaskSupport;
  add("slow_compute", "Takes a while", slow_compute, kOptional,
      R"({"type":"object","properties":{"seconds":{"type":"number","minimum":0},"label":{"type":"string"}},
          "required":["seconds"]})");
  add("failing_job", "Fails after a second", failing_job, kRequired);
  add("protocol_error_job", "Ends with a JSON-RPC error", protocol_error_job, kOptional);
  add("confirm_delete", "Asks before it goes on", confirm_delete, kOptional,
      R"({"type":"object","properties":{"filename":{"type":"string"}},"required":["filename"]})");
  add("multi_input", "Asks two things at once", multi_input, kOptional);
  add("test_tool_with_task", "Asks, then becomes a task", with_task, kRequired, {}, kSoon);
}

}  // namespace llm::fixture
