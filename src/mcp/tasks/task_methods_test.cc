#include "mcp/tasks/task_methods.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "mcp/calls.h"
#include "mcp/outbox.h"
#include "mcp/tasks/test_support.h"
#include "mcp/tool_methods.h"

namespace llm::mcp {
namespace {

using namespace tasks_test;

struct Sent : Outbox {
  void send(std::string_view message, const Label&) override { lines.emplace_back(message); }
  std::vector<std::string> lines;
};

class TaskMethods : public TasksTest {
 protected:
  TaskMethods() { server.set_tasks(&tasks); }
  ~TaskMethods() override { run_task(loop, tasks.stop()); }

  Origin origin(bool declared = true, const std::string& principal = "alice") {
    Origin made;
    made.revision = &modern_revision();
    json::object capabilities{{"elicitation", json::object()}};
    if (declared) capabilities["extensions"] = json::object{{kTasksExtension, json::object()}};
    made.caller =
        std::make_shared<const Caller>(access::Principal{.id = principal}, ClientInfo{}, std::move(capabilities));
    return made;
  }
  json::object last() const {
    return sent.lines.empty() ? json::object() : json::parse(sent.lines.back())->get_object();
  }
  json::object request(std::string_view method, json::object params, Origin from) {
    sent.lines.clear();
    const ReplyTo to{.id = RequestId{"1"}};
    if (method == "tools/call") {
      call_tool(server, calls, std::move(from), params, to);
    } else {
      handle_task_method(server, calls, method, std::move(from), params, to);
    }
    run_task(loop, calls.drained());
    EXPECT_EQ(sent.lines.size(), 1U);
    return last();
  }
  json::object request(std::string_view method, json::object params) {
    return request(method, std::move(params), origin());
  }
  static std::string code_of(const json::object& answer) {
    const json::value* error = json::find(answer, "error");
    return error == nullptr ? "(none)" : text_of(error->get_object(), "code");
  }
  static json::object result_of(const json::object& answer) {
    const json::value* result = json::find(answer, "result");
    EXPECT_NE(result, nullptr) << json::write(answer);
    return result == nullptr ? json::object() : result->get_object();
  }

  Tasks tasks{server, settings};
  Sent sent;
  Calls calls{server, loop, sent};
};

TEST_F(TaskMethods, ACallBecomesATaskThatIsReadAndCancelled) {
  const auto created = result_of(request("tools/call", {{"name", "slow"}}));
  EXPECT_EQ(text_of(created, "resultType"), "\"task\"");
  EXPECT_EQ(text_of(created, "status"), "\"working\"");
  const std::string id(json::string_or(created, "taskId"));

  const auto task = result_of(request("tasks/get", {{"taskId", id}}));
  EXPECT_EQ(text_of(task, "resultType"), "\"complete\"");
  EXPECT_EQ(text_of(task, "taskId"), '"' + id + '"');
  for (int i = 0; i < 2; ++i) {
    const auto ack = result_of(request("tasks/cancel", {{"taskId", id}}));
    EXPECT_EQ(text_of(ack, "resultType"), "\"complete\"");
    EXPECT_FALSE(ack.contains("taskId") || ack.contains("status"));
  }
  EXPECT_EQ(text_of(result_of(request("tasks/get", {{"taskId", id}})), "status"), "\"cancelled\"");
}

TEST_F(TaskMethods, AnswersAreAcknowledged) {
  const auto created = result_of(request("tools/call", {{"name", "asks"}}));
  const auto ack = result_of(request(
      "tasks/update", {{"taskId", created.at("taskId")}, {"inputResponses", json::object{{"x", json::object()}}}}));
  EXPECT_EQ(text_of(ack, "resultType"), "\"complete\"");
  EXPECT_FALSE(ack.contains("taskId") || ack.contains("inputRequests"));
}

TEST_F(TaskMethods, NeedTheExtensionInEachRequest) {
  const auto id = result_of(request("tools/call", {{"name", "slow"}})).at("taskId");
  for (const std::string method : {"tasks/get", "tasks/update", "tasks/cancel"}) {
    const auto answer = request(method, {{"taskId", id}, {"inputResponses", json::object()}}, origin(false));
    EXPECT_EQ(code_of(answer), "-32021");
    EXPECT_EQ(text_of(answer.at("error").get_object(), "data"),
              R"({"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}})");
  }
  handlers.gate.open();
  const auto direct = result_of(request("tools/call", {{"name", "slow"}}, origin(false)));
  EXPECT_EQ(text_of(direct, "resultType"), "\"complete\"");
}

TEST_F(TaskMethods, WrongParamsAndUnknownTasksAreInvalid) {
  const auto id = result_of(request("tools/call", {{"name", "slow"}})).at("taskId");
  for (const std::string method : {"tasks/get", "tasks/update", "tasks/cancel"}) {
    const auto with = [&](json::value task, json::value responses) {
      json::object params{{"inputResponses", std::move(responses)}};
      if (!task.is_null()) params["taskId"] = std::move(task);
      return params;
    };
    EXPECT_EQ(code_of(request(method, with(nullptr, json::object()))), "-32602");
    EXPECT_EQ(code_of(request(method, with(7, json::object()))), "-32602");
    EXPECT_EQ(code_of(request(method, with("no-such-task", json::object()))), "-32602");
    const auto unknown = request(method, with(json::value(std::string(32, 'f')), json::object()));
    const auto strangers = request(method, with(id, json::object()), origin(true, "bob"));
    EXPECT_EQ(code_of(unknown), "-32602");
    EXPECT_EQ(code_of(strangers), "-32602");
    EXPECT_NE(text_of(strangers.at("error").get_object(), "message").find("Unknown task"), std::string::npos);
  }
  EXPECT_EQ(code_of(request("tasks/update", {{"taskId", id}})), "-32602");
  EXPECT_EQ(code_of(request("tasks/update", {{"taskId", id}, {"inputResponses", json::array()}})), "-32602");
  EXPECT_EQ(code_of(request("tasks/update", {{"taskId", id}, {"inputResponses", json::object{{"a", 1}}}})), "-32602");
}

TEST_F(TaskMethods, ARequiredTaskNeedsTheExtension) {
  Tool tool = make_tool("always", [this](ToolCall call) { return slow(&handlers, std::move(call)); });
  tool.task = TaskSupport::kRequired;
  add(std::move(tool));
  EXPECT_EQ(code_of(request("tools/call", {{"name", "always"}}, origin(false))), "-32021");
  EXPECT_EQ(text_of(result_of(request("tools/call", {{"name", "always"}})), "resultType"), "\"task\"");
}

}  // namespace
}  // namespace llm::mcp
