#include <boost/asio/co_spawn.hpp>
#include <gtest/gtest.h>
#include <string>

#include "mcp/tasks/tasks.h"
#include "mcp/tasks/test_support.h"

namespace llm::mcp {
namespace {

using namespace std::chrono_literals;
using namespace tasks_test;

class Asking : public TasksTest {
 public:
  static std::string keys(const json::object& task) {
    std::string all;
    const json::value* requests = json::find(task, "inputRequests");
    if (requests == nullptr) return "(none)";
    for (const auto& request : requests->get_object()) all.append(request.key()).append(" ");
    return all;
  }

  Task<void> rounds(Tasks* tasks, Announcements* announced) {
    const auto id = co_await promoted(tasks->start(tool("asks"), call()));
    auto task = co_await until(tasks, announced, "alice", id, "input_required");
    EXPECT_EQ(keys(task), "first second ");
    EXPECT_EQ(json::string_or(task.at("inputRequests").at("first").get_object(), "method"), "elicitation/create");

    json::object wrong;
    wrong["first"] = "yes";
    const auto refused = co_await tasks->update("alice", id, std::move(wrong));
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(refused.error().pointer, "/params/inputResponses/first");
    const auto ignored = co_await tasks->update("alice", id, accept("unknown"));
    EXPECT_TRUE(ignored);
    const auto nothing = co_await tasks->update("alice", id, {});
    EXPECT_TRUE(nothing);
    task = *co_await tasks->get("alice", id);
    EXPECT_EQ(keys(task), "first second ");

    const auto partial = co_await tasks->update("alice", id, accept("second"));
    EXPECT_TRUE(partial);
    task = *co_await tasks->get("alice", id);
    EXPECT_EQ(text_of(task, "status"), "\"input_required\"");
    EXPECT_EQ(keys(task), "first ");
    const auto repeated = co_await tasks->update("alice", id, accept("second"));
    EXPECT_TRUE(repeated);
    const auto rest = co_await tasks->update("alice", id, accept("first"));
    EXPECT_TRUE(rest);
    for (;;) {
      task = co_await until(tasks, announced, "alice", id, "input_required");
      if (keys(task) == "third ") break;
      co_await announced->next();
    }
    EXPECT_EQ(handlers.calls, 2);
    const auto third = co_await tasks->update("alice", id, accept("third"));
    EXPECT_TRUE(third);
    task = co_await until(tasks, announced, "alice", id, "completed");
    EXPECT_EQ(handlers.calls, 3);
    EXPECT_EQ(handlers.last_inputs, R"({"third":{"action":"accept","content":{"for":"third"}}})");
    const auto text = text_of(task, "result");
    EXPECT_NE(text.find("\\\"first\\\""), std::string::npos) << text;
    EXPECT_NE(text.find("\\\"second\\\""), std::string::npos) << text;
    EXPECT_EQ(text.find("requestState"), std::string::npos);
  }

  Task<void> before_it_is_a_task(Tasks* tasks) {
    const auto run = tasks->start(tool("asks"), call());
    const auto result = co_await run->wait(1h, {});
    EXPECT_TRUE(result && *result && (*result)->input_required);
  }

  // Asked, answered, and revoked in between.
  Task<void> of_a_revoked_caller(Tasks* tasks, Announcements* announced, bool* revoked) {
    const auto id = co_await promoted(tasks->start(tool("asks"), call()));
    co_await until(tasks, announced, "alice", id, "input_required");
    *revoked = true;
    for (const std::string key : {"first", "second"}) EXPECT_TRUE(co_await tasks->update("alice", id, accept(key)));
    const auto task = co_await until(tasks, announced, "alice", id, "completed");
    EXPECT_NE(text_of(task.at("result").get_object(), "content").find("may not use the tool any more"),
              std::string::npos);
    EXPECT_EQ(text_of(task.at("result").get_object(), "isError"), "true");
    EXPECT_EQ(handlers.calls, 1);
  }
  Task<void> of_a_mute_client(Tasks* tasks, Announcements* announced) {
    ToolCall made = call();
    made.caller = std::make_shared<const Caller>(access::Principal{.id = "alice"});
    const auto id = co_await promoted(tasks->start(tool("asks"), std::move(made)));
    const auto task = co_await until(tasks, announced, "alice", id, "failed");
    EXPECT_EQ(text_of(task.at("error").get_object(), "code"), "-32021");
    EXPECT_EQ(text_of(task.at("error").get_object(), "data"), R"({"requiredCapabilities":{"elicitation":{}}})");
  }
};

TEST_F(Asking, RoundsOfQuestions) {
  Tasks tasks(server, settings);
  Announcements announced(server, loop);
  run_task(loop, rounds(&tasks, &announced));
  run_task(loop, tasks.stop());
}

TEST_F(Asking, IsTheRequestsBusinessUntilItIsATask) {
  Tasks tasks(server, settings);
  run_task(loop, before_it_is_a_task(&tasks));
  run_task(loop, tasks.stop());
}

TEST_F(Asking, OnlyWhatTheClientCanAnswer) {
  Tasks tasks(server, settings);
  Announcements announced(server, loop);
  run_task(loop, of_a_mute_client(&tasks, &announced));
  run_task(loop, tasks.stop());
}

TEST_F(Asking, AFurtherRoundHasTheRightsOfItsTime) {
  bool revoked = false;
  settings.principal_now = [&revoked](const access::Principal& known) {
    return revoked ? std::nullopt : std::optional(known);
  };
  Tasks tasks(server, settings);
  Announcements announced(server, loop);
  run_task(loop, of_a_revoked_caller(&tasks, &announced, &revoked));
  run_task(loop, tasks.stop());
}

class OtherLoop : public TasksTest {
 public:
  static Task<void> begin(OtherLoop* test, Tasks* tasks, Loop* there, std::string* id) {
    ToolCall made = test->call();
    made.loop = there;
    made.cancel = {};
    *id = co_await promoted(tasks->start(test->tool("asks"), std::move(made)));
  }
  Task<void> answer_from_here(Tasks* tasks, Announcements* announced, Loop* there) {
    std::string id;
    co_await boost::asio::co_spawn(there->executor(), begin(this, tasks, there, &id), use_task);
    co_await until(tasks, announced, "alice", id, "input_required");
    for (const std::string key : {"first", "second"}) EXPECT_TRUE(co_await tasks->update("alice", id, accept(key)));
    for (;;) {
      const auto task = co_await until(tasks, announced, "alice", id, "input_required");
      if (task.at("inputRequests").get_object().contains("third")) break;
      co_await announced->next();
    }
    EXPECT_TRUE(co_await tasks->update("alice", id, accept("third")));
    co_await until(tasks, announced, "alice", id, "completed");
    co_await boost::asio::co_spawn(there->executor(), begin(this, tasks, there, &id), use_task);
    EXPECT_TRUE(co_await tasks->cancel("alice", id));
  }
};

TEST_F(OtherLoop, RunsThereAndIsAnsweredAndCancelledFromHere) {
  for (const auto& directory : {settings.directory, fs::path()}) {
    settings.directory = directory;
    Tasks tasks(server, settings);
    Announcements announced(server, loop);
    Loop there("there");
    there.start();
    run_task(loop, answer_from_here(&tasks, &announced, &there));
    run_task(loop, tasks.stop());
  }
}

}  // namespace
}  // namespace llm::mcp
