#include "fixture.h"

#include <utility>

#include "async/watch.h"
#include "json/json.h"
#include "net/base64.h"

namespace llm::fixture {

json::object parse(std::string_view text) {
  return json::parse(text).value().as_object();
}

mcp::Tool make_tool(std::string name, std::string description, ToolHandler handler, std::string_view schema) {
  return {.name = std::move(name),
          .description = std::move(description),
          .input_schema = parse(schema.empty() ? R"({"type":"object","additionalProperties":false})" : schema),
          .handler = handler};
}

void add_tool(mcp::Server& server, mcp::Tool tool) {
  server.tools().add(std::move(tool)).value();
}

mcp::InputRequest elicit(std::string_view message, std::string_view schema) {
  return {"elicitation/create", {{"mode", "form"}, {"message", message}, {"requestedSchema", parse(schema)}}};
}

mcp::InputRequest sample(std::string_view prompt, int max_tokens) {
  const json::object message{{"role", "user"}, {"content", json::object{{"type", "text"}, {"text", prompt}}}};
  return {"sampling/createMessage", {{"messages", json::array{message}}, {"maxTokens", max_tokens}}};
}

mcp::InputRequest list_roots() {
  return {"roots/list", {}};
}

mcp::ToolResult ask(mcp::InputRequired questions) {
  mcp::ToolResult result;
  result.input_required = std::move(questions);
  return result;
}

std::string entered(const mcp::Context& call, std::string_view key, std::string_view field) {
  const json::object* answer = call.input(key);
  const json::value* content = answer != nullptr ? json::find(*answer, "content") : nullptr;
  if (content == nullptr || !content->is_object()) return {};
  return std::string(json::string_or(content->get_object(), field));
}

std::string sampled(const mcp::Context& call, std::string_view key) {
  const json::object* answer = call.input(key);
  const json::value* content = answer != nullptr ? json::find(*answer, "content") : nullptr;
  if (content != nullptr && content->is_array() && !content->get_array().empty()) content = &content->get_array()[0];
  if (content == nullptr || !content->is_object()) return {};
  return std::string(json::string_or(content->get_object(), "text"));
}

std::string png() {
  return base64_decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mP4DwABAQEAHLCMmQAAAABJRU5ErkJggg==")
      .value();
}

std::string wav() {
  return base64_decode("UklGRjQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YRAAAAAAAAAAAAAAAAAAAAAAAAAA").value();
}

Task<bool> pause(CancelToken cancel, std::chrono::milliseconds duration) {
  Watch<int> nothing;  // that never happens
  co_await nothing.changed(nothing.get().version, cancel, duration);
  co_return !cancel.cancelled();
}

}  // namespace llm::fixture
