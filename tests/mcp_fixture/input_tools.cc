#include <fmt/format.h>
#include <utility>

#include "fixture.h"

// Multi round-trip requests (MCP 2026-07-28). What was answered in the wrong shape is asked for again.
namespace llm::fixture {
namespace {

using mcp::InputRequired;
using mcp::ToolCall;
using mcp::ToolResult;

constexpr std::string_view kName = R"({"type":"object","properties":{"name":{"type":"string"}},"required":["name"]})";
constexpr std::string_view kColor =
    R"({"type":"object","properties":{"color":{"type":"string"}},"required":["color"]})";
constexpr std::string_view kOk = R"({"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"]})";
constexpr std::string_view kAskName = "What is your name?";

Task<Result<ToolResult>> elicitation(ToolCall call) {
  const std::string name = entered(call, "user_name", "name");
  if (name.empty()) co_return ask({{{"user_name", elicit(kAskName, kName)}}});
  co_return ToolResult{.text = fmt::format("Hello, {}!", name)};
}

Task<Result<ToolResult>> sampling(ToolCall call) {
  const std::string answer = sampled(call, "capital_question");
  if (answer.empty()) co_return ask({{{"capital_question", sample("What is the capital of France?", 100)}}});
  co_return ToolResult{.text = answer};
}

// The client's roots as JSON; empty if it did not tell them.
std::string told_roots(const ToolCall& call) {
  const json::object* answer = call.input("client_roots");
  const json::value* roots = answer != nullptr ? json::find(*answer, "roots") : nullptr;
  return roots != nullptr && roots->is_array() ? json::write(*roots) : std::string();
}

Task<Result<ToolResult>> roots(ToolCall call) {
  const std::string told = told_roots(call);
  if (told.empty()) co_return ask({{{"client_roots", list_roots()}}});
  co_return ToolResult{.text = fmt::format("The client's roots: {}", told)};
}

Task<Result<ToolResult>> request_state(ToolCall call) {
  if (call.input("confirm") == nullptr || call.state != "asked") {
    co_return ask({.requests = {{"confirm", elicit("Please confirm", kOk)}}, .state = "asked"});
  }
  co_return ToolResult{.text = "Confirmed: state-ok"};
}

Task<Result<ToolResult>> multiple_inputs(ToolCall call) {
  InputRequired wanted{.requests = {}, .state = "asked"};
  if (entered(call, "user_name", "name").empty()) wanted.requests["user_name"] = elicit(kAskName, kName);
  if (sampled(call, "greeting").empty()) wanted.requests["greeting"] = sample("Generate a greeting", 50);
  if (told_roots(call).empty()) wanted.requests["client_roots"] = list_roots();
  if (!wanted.requests.empty()) co_return ask(std::move(wanted));
  co_return ToolResult{.text = fmt::format("{} {} ({})", sampled(call, "greeting"), entered(call, "user_name", "name"),
                                           told_roots(call))};
}

// The name of the first round is kept in the state of the second.
Task<Result<ToolResult>> multi_round(ToolCall call) {
  constexpr std::string_view kNamed = "named ";
  if (call.state.starts_with(kNamed)) {
    const std::string color = entered(call, "step2", "color");
    if (!color.empty()) {
      co_return ToolResult{.text = fmt::format("{} likes {}.", call.state.substr(kNamed.size()), color)};
    }
    co_return ask(
        {.requests = {{"step2", elicit("Step 2: What is your favorite color?", kColor)}}, .state = call.state});
  }
  const std::string name = entered(call, "step1", "name");
  if (name.empty()) {
    co_return ask({.requests = {{"step1", elicit("Step 1: What is your name?", kName)}}, .state = "unnamed"});
  }
  co_return ask({.requests = {{"step2", elicit("Step 2: What is your favorite color?", kColor)}},
                 .state = fmt::format("{}{}", kNamed, name)});
}

Task<Result<ToolResult>> capabilities(ToolCall call) {
  InputRequired wanted;
  const auto want = [&](std::string key, mcp::InputRequest request) {
    if (call.input(key) == nullptr && call.caller->can_answer(request.method, request.params)) {
      wanted.requests.emplace(std::move(key), std::move(request));
    }
  };
  want("user_name", elicit(kAskName, kName));
  want("greeting", sample("Generate a greeting", 50));
  want("client_roots", list_roots());
  if (!wanted.requests.empty()) co_return ask(std::move(wanted));
  co_return ToolResult{.text = "Asked for all that the client can answer"};
}

}  // namespace

void add_input_tools(mcp::Server& server) {
  const auto add = [&server](std::string name, std::string description, ToolHandler handler) {
    add_tool(server, make_tool(fmt::format("test_input_required_result_{}", name), std::move(description), handler));
  };
  add("elicitation", "Asks the user", elicitation);
  add("sampling", "Asks the client's model", sampling);
  add("list_roots", "Asks for the client's roots", roots);
  add("request_state", "Asks, and remembers that it did", request_state);
  add("multiple_inputs", "Asks three things at once", multiple_inputs);
  add("multi_round", "Asks twice", multi_round);
  add("tampered_state", "Asks, and remembers that it did", request_state);
  add("capabilities", "Asks only what the client declared", capabilities);
}

}  // namespace llm::fixture
