#include "mcp/tool_methods.h"

#include <fmt/format.h>
#include <iterator>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "mcp/authorization.h"
#include "mcp/pages.h"
#include "mcp/tasks/tasks.h"

namespace llm::mcp {
namespace {

using SharedTool = std::shared_ptr<const RegisteredTool>;

// Suggests only what the caller may see.
Refusal unknown_tool(const ToolSet& tools, std::string_view name, const access::Principal& caller) {
  std::string message = fmt::format("Unknown tool: '{}'.", name.substr(0, 128));
  std::vector<std::string> names;
  for (const auto& tool : tools.tools) {
    if (tool->tool.open_to(caller)) names.push_back(tool->tool.name);
  }
  const auto close = nearest(name, names, 1);
  message += close.empty() ? " tools/list names them all." : fmt::format(" Did you mean '{}'?", close.front());
  return {kInvalidParams, std::move(message), {}};
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
std::string write_repaired(const json::value& value) {
  std::string text = json::write(value);
  if (valid_utf8(text)) return text;
  std::string repaired;
  json::append_quoted(repaired, text);  // replaces what is not UTF-8 …
  const auto unquoted = json::parse(repaired);
  return unquoted ? std::string(unquoted->get_string()) : "null";  // … and this undoes the quoting
}

// A block as a client of this revision understands it: what came later is told in words.
void append_block(std::string& out, const Revision& revision, const json::value& block) {
  const json::object* fields = block.if_object();
  const std::string_view type = fields != nullptr ? json::string_or(*fields, "type") : std::string_view();
  if (type == "resource_link" && !revision.resource_links) {
    return append_text_block(out, fmt::format("Resource: {}", json::string_or(*fields, "uri")));
  }
  if (type == "audio" && !revision.audio) {
    return append_text_block(out, fmt::format("(Audio, {}.)", json::string_or(*fields, "mimeType")));
  }
  out.append(write_repaired(block));
}

// Models write null where they mean nothing. False if there was none.
bool drop_nulls(json::value& arguments) {
  json::object& members = arguments.get_object();
  const std::size_t before = members.size();
  json::object kept(members.storage());
  for (auto& member : members) {
    if (!member.value().is_null()) kept.emplace(member.key(), std::move(member.value()));
  }
  members = std::move(kept);
  return members.size() != before;
}

ToolCall make_call(Context context, const json::object& arguments) {
  ToolCall call;
  static_cast<Context&>(call) = std::move(context);
  call.arguments = arguments;  // a copy: another round may need them again
  return call;
}

Task<Round> run_tool(const Server* server, SharedTool tool, const Revision* revision,
                     std::shared_ptr<const json::object> arguments, Context context) {
  auto result = co_await tool->tool.handler(make_call(std::move(context), *arguments));
  co_return round_of(*server, *tool, *revision, std::move(result));
}

// The extension io.modelcontextprotocol/tasks: a call that takes its time answers with a task instead of a result.
Task<Round> run_as_task(const Server* server, SharedTool tool, const Revision* revision,
                        std::shared_ptr<const json::object> arguments, Context context) {
  const CancelToken cancel = context.cancel;
  const auto run = server->tasks()->start(tool, make_call(std::move(context), *arguments));
  if (tool->tool.task_after.count() > 0) {
    auto result = co_await run->wait(tool->tool.task_after, cancel);
    if (result) co_return round_of(*server, *tool, *revision, std::move(*result));
  }
  if (cancel.cancelled()) {
    run->cancel();
    co_return Round{.result = "{}"};  // nobody gets it
  }
  auto members = co_await run->promote();
  if (!members) {
    run->cancel();
    co_return Round{.result = write_tool_error(*server, *revision, members.error())};
  }
  json::object result{{"resultType", "task"}};
  for (auto& member : *members) result[member.key()] = std::move(member.value());
  std::string text = json::write(result);
  text.pop_back();
  text.append(server->meta_member()).push_back('}');
  co_return Round{.result = std::move(text)};
}

Refusal tasks_required(const Tool& tool) {
  return {kMissingClientCapability,
          fmt::format("Tool '{}' answers with a task: it needs a client that declares the extension {}.", tool.name,
                      kTasksExtension),
          fmt::format(R"({{"requiredCapabilities":{{"extensions":{{"{}":{{}}}}}}}})", kTasksExtension)};
}

}  // namespace

void list_tools(const Server& server, Calls& calls, const Origin& origin, const json::object& params,
                const ReplyTo& to) {
  const Revision& revision = *origin.revision;
  const auto set = server.tools().tools();
  const access::Principal& principal = origin.caller->principal;
  if (principal.local() && set->tools.size() <= server.settings().page_size && !has_cursor(params)) {
    return calls.answer(to, write_list(server, revision, "tools", set->listings[revision.index]));
  }
  std::vector<std::string_view> entries;
  for (const auto& tool : set->tools) {
    if (tool->tool.open_to(principal)) entries.push_back(tool->listings[revision.index]);
  }
  const auto page = write_page(server, revision, params, "tools", entries);
  if (!page) return calls.refuse(to, page.error());
  calls.answer(to, *page);
}

void call_tool(const Server& server, Calls& calls, Origin origin, json::object& params, ReplyTo to) {
  const json::value* name = json::find(params, "name");
  if (name == nullptr || !name->is_string()) {
    return calls.refuse(to, invalid_params("the tool's name must be given as a string.", "/params/name"));
  }
  const auto set = server.tools().tools();
  const auto found = set->by_name.find(std::string_view(name->get_string()));
  const access::Principal& principal = origin.caller->principal;
  if (found == set->by_name.end()) return calls.refuse(to, unknown_tool(*set, name->get_string(), principal));
  const SharedTool& tool = found->second;
  if (!tool->tool.open_to(principal)) return calls.refuse(to, not_permitted(tool->tool.permission));
  if (const auto refusal = read_request_meta(params, origin)) return calls.refuse(to, *refusal);

  json::value arguments = json::object();
  json::value* given = params.if_contains("arguments");
  if (given != nullptr && !given->is_null()) {  // absent: a tool without arguments, or all of them defaults
    if (!given->is_object()) {
      return calls.refuse(to, invalid_params("arguments must be an object.", "/params/arguments"));
    }
    arguments = std::move(*given);
  }
  const Revision& revision = *origin.revision;
  // MCP 2025-11-25 (SEP-1303): what is wrong with arguments is for the model to read, so it is a result.
  auto checked = tool->input.check(arguments);
  if (!checked && drop_nulls(arguments)) checked = tool->input.check(arguments);
  if (!checked) {
    checked.error().message = fmt::format("Invalid arguments for {}: {}", tool->tool.name, checked.error().message);
    return calls.answer(to, write_tool_error(server, revision, checked.error()));
  }
  const bool can_task = revision.modern && server.tasks() != nullptr && origin.caller->has_extension(kTasksExtension);
  if (tool->tool.task == TaskSupport::kRequired && !can_task) return calls.refuse(to, tasks_required(tool->tool));
  const bool as_task = can_task && tool->tool.task != TaskSupport::kNone;

  auto shared = std::make_shared<const json::object>(std::move(arguments.get_object()));
  auto binding = [tool, shared] { return fmt::format("tools/call\n{}\n{}", tool->tool.name, json::write(*shared)); };
  calls.start(std::move(to), std::move(origin), std::move(binding),
              [server = &server, tool, revision = &revision, shared = std::move(shared), as_task](Context context) {
                return as_task ? run_as_task(server, tool, revision, shared, std::move(context))
                               : run_tool(server, tool, revision, shared, std::move(context));
              });
}

// What an error has to say in structured form goes to the client only where it fits the output schema, as every
// structure must.
static void drop_unfit_structure(const RegisteredTool& tool, ToolResult& result) {
  if (!result.is_error || result.structured.is_null()) return;
  if (tool.output && tool.output->check(result.structured)) return;
  if (result.text.empty() && result.content.empty()) result.text = write_repaired(result.structured);
  result.structured = nullptr;
}

Round round_of(const Server& server, const RegisteredTool& tool, const Revision& revision, Result<ToolResult> result) {
  if (!result) return {.result = write_tool_error(server, revision, result.error())};
  if (result->refusal) return {.refusal = std::move(result->refusal)};
  if (result->input_required) return {.input_required = std::move(result->input_required)};
  if (auto refusal = check_tool_output(tool, *result)) return {.refusal = std::move(refusal)};
  drop_unfit_structure(tool, *result);
  std::string text = write_tool_result(server, revision, *result);
  const std::size_t most = server.settings().max_message_bytes;
  constexpr std::size_t kEnvelope = 1024;  // what surrounds the result, with its id
  if (text.size() + kEnvelope > most) {
    text = write_tool_error(server, revision,
                            {ErrorCode::kPayloadTooLarge,
                             fmt::format("The result takes {}, more than the {} that MCP clients read as one message. "
                                         "Ask for less at a time.",
                                         format_bytes(text.size()), format_bytes(most)),
                             {},
                             {},
                             0});
  }
  return {.result = std::move(text)};
}

std::optional<Refusal> check_tool_output(const RegisteredTool& tool, const ToolResult& result) {
  if (!tool.output || result.is_error) return std::nullopt;  // an error need not fit
  const auto checked = tool.output->check(result.structured);
  if (checked) return std::nullopt;
  return Refusal{kInternalError,
                 fmt::format("Internal error: the result of tool '{}' breaks its output schema: {}", tool.tool.name,
                             to_string(checked.error())),
                 {}};
}

std::string write_tool_result(const Server& server, const Revision& revision, const ToolResult& result) {
  std::string out = begin_tool_result(revision);
  const bool has_structure = !result.structured.is_null();
  const std::string structured = has_structure ? write_repaired(result.structured) : std::string();
  const bool has_text = !result.text.empty() || (has_structure && result.content.empty());
  if (has_text) append_text_block(out, result.text.empty() ? structured : result.text);
  bool first = !has_text;
  for (const auto& block : result.content) {
    if (!std::exchange(first, false)) out.push_back(',');
    append_block(out, revision, block);
  }
  out.push_back(']');
  if (has_structure && revision.structured_results && (revision.any_structure || result.structured.is_object())) {
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
