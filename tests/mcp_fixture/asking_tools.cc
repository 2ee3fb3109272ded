#include <fmt/format.h>
#include <utility>

#include "fixture.h"

// Tools that ask in the middle of a call. Older revisions see requests from the server, newer ones input_required; the
// handlers do not know which.
namespace llm::fixture {
namespace {

using mcp::ToolCall;
using mcp::ToolResult;

Task<Result<ToolResult>> sampling(ToolCall call) {
  if (call.input("answer") == nullptr) {
    co_return ask({{{"answer", sample(json::string_or(call.arguments, "prompt"), 100)}}});
  }
  co_return ToolResult{.text = fmt::format("LLM response: {}", sampled(call, "answer"))};
}

// "action: accept, content: {…}" of the elicitation `key`.
std::string outcome(const ToolCall& call, std::string_view key, std::string_view separator) {
  const json::object& answer = *call.input(key);
  const json::value* content = json::find(answer, "content");
  return fmt::format("action{0}{1}, content{0}{2}", separator, json::string_or(answer, "action"),
                     content != nullptr ? json::write(*content) : "{}");
}

constexpr std::string_view kUser = R"({"type":"object","properties":{
  "username":{"type":"string","description":"User's response"},
  "email":{"type":"string","description":"User's email address"}},"required":["username","email"]})";

Task<Result<ToolResult>> elicitation(ToolCall call) {
  if (call.input("user") == nullptr) {
    co_return ask({{{"user", elicit(json::string_or(call.arguments, "message"), kUser)}}});
  }
  co_return ToolResult{.text = fmt::format("User response: {}", outcome(call, "user", ": "))};
}

constexpr std::string_view kDefaults = R"({"type":"object","properties":{
  "name":{"type":"string","description":"User name","default":"John Doe"},
  "age":{"type":"integer","description":"User age","default":30},
  "score":{"type":"number","description":"User score","default":95.5},
  "status":{"type":"string","enum":["active","inactive","pending"],"default":"active"},
  "verified":{"type":"boolean","description":"Is the user verified?","default":true}},"required":[]})";

constexpr std::string_view kEnums = R"({"type":"object","properties":{
  "untitledSingle":{"type":"string","enum":["option1","option2","option3"]},
  "titledSingle":{"type":"string","oneOf":[{"const":"value1","title":"First Option"},
    {"const":"value2","title":"Second Option"},{"const":"value3","title":"Third Option"}]},
  "legacyEnum":{"type":"string","enum":["opt1","opt2","opt3"],
    "enumNames":["Option One","Option Two","Option Three"]},
  "untitledMulti":{"type":"array","items":{"type":"string","enum":["option1","option2","option3"]}},
  "titledMulti":{"type":"array","items":{"anyOf":[{"const":"value1","title":"First Choice"},
    {"const":"value2","title":"Second Choice"},{"const":"value3","title":"Third Choice"}]}}},"required":[]})";

Task<Result<ToolResult>> elicitation_form(ToolCall call, std::string_view schema) {
  if (call.input("form") == nullptr) co_return ask({{{"form", elicit("Please fill in the form", schema)}}});
  co_return ToolResult{.text = fmt::format("Elicitation completed: {}", outcome(call, "form", "="))};
}
Task<Result<ToolResult>> elicitation_defaults(ToolCall call) {
  return elicitation_form(std::move(call), kDefaults);
}
Task<Result<ToolResult>> elicitation_enums(ToolCall call) {
  return elicitation_form(std::move(call), kEnums);
}

Task<Result<ToolResult>> missing_capability(ToolCall call) {
  if (call.input("answer") == nullptr) co_return ask({{{"answer", sample("Are you there?", 10)}}});
  co_return ToolResult{.text = sampled(call, "answer")};
}

Task<Result<ToolResult>> streaming_elicitation(ToolCall call) {
  call.progress(1, 2, "about to ask");
  if (call.input("confirm") == nullptr) {
    co_return ask({{{"confirm", elicit("Go on?", R"({"type":"object","properties":{"ok":{"type":"boolean"}}})")}}});
  }
  co_return ToolResult{.text = "Went on"};
}

}  // namespace

void add_asking_tools(mcp::Server& server) {
  add_tool(server, make_tool("test_sampling", "Asks the client's model", sampling,
                             R"({"type":"object","properties":{"prompt":{"type":"string"}},"required":["prompt"]})"));
  add_tool(server, make_tool("test_elicitation", "Asks the user", elicitation,
                             R"({"type":"object","properties":{"message":{"type":"string"}},"required":["message"]})"));
  add_tool(server, make_tool("test_elicitation_sep1034_defaults", "Asks with defaults", elicitation_defaults));
  add_tool(server, make_tool("test_elicitation_sep1330_enums", "Asks with choices", elicitation_enums));
  add_tool(server, make_tool("test_missing_capability", "Needs sampling", missing_capability));
  add_tool(server, make_tool("test_streaming_elicitation", "Asks while its stream is open", streaming_elicitation));
}

}  // namespace llm::fixture
