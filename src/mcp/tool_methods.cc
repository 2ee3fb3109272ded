#include "mcp/tool_methods.h"

#include <expected>
#include <fmt/format.h>
#include <iterator>
#include <optional>
#include <utility>

#include "base/strings.h"

namespace llm::mcp {
namespace {

Refusal invalid_params(std::string message, std::string_view pointer) {
  return {kInvalidParams, fmt::format("Invalid params: {} (at {})", message, pointer), {}};
}

Refusal unknown_tool(const ToolRegistry& tools, std::string_view name) {
  std::string message = fmt::format("Unknown tool: '{}'.", name.substr(0, 128));
  const auto names = tools.names();
  const auto close = nearest(name, names, 1);
  message += close.empty() ? " tools/list names them all." : fmt::format(" Did you mean '{}'?", close.front());
  return {kInvalidParams, std::move(message), {}};
}

// `params._meta.progressToken`; none if absent or null.
std::expected<std::optional<RequestId>, Refusal> progress_token(const json::object& params) {
  const json::value* meta = json::find(params, "_meta");
  const json::object* fields = meta != nullptr ? meta->if_object() : nullptr;
  const json::value* token = fields != nullptr ? json::find(*fields, "progressToken") : nullptr;
  if (token == nullptr || token->is_null()) return std::nullopt;
  auto id = RequestId::from(*token);
  if (!id) {
    return std::unexpected(
        invalid_params("a progress token is a string or an integer.", "/params/_meta/progressToken"));
  }
  return id;
}

void append_text_block(std::string& out, std::string_view text) {
  out.append(R"({"type":"text","text":)");
  json::append_quoted(out, text);
  out.push_back('}');
}

std::string begin_tool_result(const Revision& revision) {
  return revision.modern ? R"({"resultType":"complete","content":[)" : R"({"content":[)";
}

void end_tool_result(std::string& out, const Server& server, const Revision& revision) {
  if (revision.modern) out.append(server.meta_member());
  out.push_back('}');
}

// JSON text of a handler's value. Its strings may hold a model's output that was cut inside a character.
std::string write_structured(const json::value& structured) {
  std::string text = json::write(structured);
  if (valid_utf8(text)) return text;
  std::string repaired;
  json::append_quoted(repaired, text);  // replaces what is not UTF-8 …
  const auto unquoted = json::parse(repaired);
  return unquoted ? std::string(unquoted->get_string()) : "null";  // … and this undoes the quoting
}

}  // namespace

void list_tools(const Server& server, Calls& calls, const Revision& revision, const json::object& params,
                const ReplyTo& to) {
  const json::value* cursor = json::find(params, "cursor");
  if (cursor != nullptr && !cursor->is_null()) {
    // All tools fit one page, so no cursor was ever given out.
    return calls.refuse(to, invalid_params("unknown cursor; leave it out to get the whole list.", "/params/cursor"));
  }
  std::string result = revision.modern ? R"({"resultType":"complete","tools":)" : R"({"tools":)";
  result.append(server.tools().listing(revision));
  if (revision.modern) result.append(server.cache_members()).append(server.meta_member());
  result.push_back('}');
  calls.answer(to, result);
}

void call_tool(const Server& server, Calls& calls, const Revision& revision, json::object& params,
               const ClientInfo& client, ReplyTo to) {
  const json::value* name = json::find(params, "name");
  if (name == nullptr || !name->is_string()) {
    return calls.refuse(to, invalid_params("the tool's name must be given as a string.", "/params/name"));
  }
  const Tool* tool = server.tools().find(name->get_string());
  if (tool == nullptr) return calls.refuse(to, unknown_tool(server.tools(), name->get_string()));
  auto token = progress_token(params);
  if (!token) return calls.refuse(to, token.error());

  ToolCall call;
  call.client = client;
  json::value* arguments = params.if_contains("arguments");
  if (arguments != nullptr && !arguments->is_null()) {  // absent: a tool without arguments, or all of them defaults
    if (!arguments->is_object()) {
      return calls.refuse(to, invalid_params("arguments must be an object.", "/params/arguments"));
    }
    call.arguments = std::move(arguments->get_object());
  }
  calls.start(std::move(to), revision, *tool, std::move(call), std::move(*token));
}

std::string write_tool_result(const Server& server, const Revision& revision, const ToolResult& result) {
  std::string out = begin_tool_result(revision);
  const bool has_structure = !result.structured.is_null();
  const std::string structured = has_structure ? write_structured(result.structured) : std::string();
  if (!result.text.empty() || has_structure) append_text_block(out, result.text.empty() ? structured : result.text);
  out.push_back(']');
  // An error need not fit the output schema, so it has no structured form.
  if (has_structure && !result.is_error && revision.structured_results &&
      (revision.any_structure || result.structured.is_object())) {
    out.append(R"(,"structuredContent":)").append(structured);
  }
  if (result.is_error) out.append(R"(,"isError":true)");
  end_tool_result(out, server, revision);
  return out;
}

std::string write_tool_error(const Server& server, const Revision& revision, const Error& error) {
  std::string text = to_string(error);
  if (error.retry_after_s > 0) fmt::format_to(std::back_inserter(text), " Try again in {} s.", error.retry_after_s);
  std::string out = begin_tool_result(revision);
  append_text_block(out, text);
  out.append(R"(],"isError":true)");
  end_tool_result(out, server, revision);
  return out;
}

ClientInfo read_client_info(const json::value* implementation) {
  const json::object* fields = implementation != nullptr ? implementation->if_object() : nullptr;
  if (fields == nullptr) return {};
  return {std::string(json::string_or(*fields, "name")), std::string(json::string_or(*fields, "version"))};
}

}  // namespace llm::mcp
