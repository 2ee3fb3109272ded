#include "mcp/tasks/task_methods.h"

#include <fmt/format.h>
#include <memory>
#include <string>
#include <utility>

#include "mcp/protocol.h"
#include "mcp/tasks/tasks.h"

namespace llm::mcp {
namespace {

// A result of `members`, with what every result of the revision has.
Round complete(const Server* server, json::object members) {
  json::object result{{"resultType", "complete"}};
  for (auto& member : members) result[member.key()] = std::move(member.value());
  std::string text = json::write(result);
  text.pop_back();
  text.append(server->meta_member()).push_back('}');
  return {.result = std::move(text)};
}

Round refused(const Error& error) {
  const bool of_request = error.code == ErrorCode::kInvalidArgument;
  return {.refusal = of_request ? invalid_params(error.message, error.pointer)
                                : Refusal{describe(error.code).json_rpc, to_string(error), {}}};
}

Task<Round> get(const Server* server, std::string id, Context context) {
  auto members = co_await server->tasks()->get(context.caller->principal.id, std::move(id));
  co_return members ? complete(server, std::move(*members)) : refused(members.error());
}

Task<Round> update(const Server* server, std::string id, std::shared_ptr<const json::object> responses,
                   Context context) {
  const auto done = co_await server->tasks()->update(context.caller->principal.id, std::move(id), *responses);
  co_return done ? complete(server, {}) : refused(done.error());
}

Task<Round> cancel(const Server* server, std::string id, Context context) {
  const auto done = co_await server->tasks()->cancel(context.caller->principal.id, std::move(id));
  co_return done ? complete(server, {}) : refused(done.error());
}

Refusal undeclared(std::string_view method) {
  return {kMissingClientCapability,
          fmt::format("{} belongs to the extension {}, which this request does not declare.", method, kTasksExtension),
          json::write(json::object{{"requiredCapabilities",
                                    json::object{{"extensions", json::object{{kTasksExtension, json::object()}}}}}})};
}

}  // namespace

void handle_task_method(const Server& server, Calls& calls, std::string_view method, Origin origin,
                        json::object& params, ReplyTo to) {
  if (!origin.caller->has_extension(kTasksExtension)) return calls.refuse(to, undeclared(method));
  const json::value* task = json::find(params, "taskId");
  if (task == nullptr || !task->is_string()) {
    return calls.refuse(to, invalid_params("the task's id must be given as a string.", "/params/taskId"));
  }
  const auto* of = &server;
  const std::string id(task->get_string());
  Calls::Handler handler;
  if (method == "tasks/update") {
    json::value* given = params.if_contains("inputResponses");
    if (given == nullptr || !given->is_object()) {
      return calls.refuse(to, invalid_params("answers must be given as an object, by the keys of the questions.",
                                             "/params/inputResponses"));
    }
    auto responses = std::make_shared<const json::object>(std::move(given->get_object()));
    handler = [of, id, responses](Context context) { return update(of, id, responses, std::move(context)); };
  } else if (method == "tasks/cancel") {
    handler = [of, id](Context context) { return cancel(of, id, std::move(context)); };
  } else {
    handler = [of, id](Context context) { return get(of, id, std::move(context)); };
  }
  calls.start(std::move(to), std::move(origin), [] { return std::string(); }, std::move(handler));
}

}  // namespace llm::mcp
