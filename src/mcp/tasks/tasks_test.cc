#include "mcp/tasks/tasks.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "mcp/tasks/task_record.h"
#include "mcp/tasks/test_support.h"

namespace llm::mcp {
namespace {

using namespace std::chrono_literals;
using namespace tasks_test;

class Lifecycle : public TasksTest {
 public:
  Task<void> fast_answer(Tasks* tasks) {
    const auto run = tasks->start(tool("quick"), call("world"));
    const auto result = co_await run->wait(1h, {});
    EXPECT_TRUE(result.has_value());
    if (result && *result) EXPECT_EQ((*result)->text, "Hello, world!");
    const auto late = co_await run->promote();
    EXPECT_FALSE(late) << "it has its result";
  }

  Task<void> one_task(Tasks* tasks, Announcements* announced) {
    const auto run = tasks->start(tool("slow"), call());
    const bool answered = (co_await run->wait(0ms, {})).has_value();
    EXPECT_FALSE(answered);
    const auto created = co_await run->promote();
    EXPECT_TRUE(created);
    if (!created) co_return;
    std::string names;
    for (const auto& member : *created) names.append(member.key()).append(" ");
    EXPECT_EQ(names, "taskId status createdAt lastUpdatedAt ttlMs pollIntervalMs ");
    EXPECT_EQ(text_of(*created, "status"), "\"working\"");
    EXPECT_EQ(text_of(*created, "ttlMs"), "86400000");
    EXPECT_EQ(text_of(*created, "pollIntervalMs"), "1000");
    const std::string id(json::string_or(*created, "taskId"));
    const auto again = co_await run->promote();
    EXPECT_EQ(*again, *created);

    const auto working = co_await tasks->get("alice", id);
    EXPECT_EQ(text_of(*working, "status"), "\"working\"");
    handlers.gate.open();
    const auto done = co_await until(tasks, announced, "alice", id, "completed");
    const json::object& result = done.at("result").get_object();
    EXPECT_EQ(text_of(result, "resultType"), "\"complete\"");
    EXPECT_EQ(text_of(result, "structuredContent"), R"({"label":"it"})");
    EXPECT_FALSE(done.contains("error"));
    EXPECT_GE(std::string(json::string_or(done, "lastUpdatedAt")), json::string_or(done, "createdAt"));
    EXPECT_EQ(announced->seen.size(), 2U);
    for (const auto& change : announced->seen) {
      EXPECT_EQ(change.kind, Change::Kind::kTask);
      EXPECT_EQ(change.subject, id);
      EXPECT_EQ(change.principal, "alice");
    }
    EXPECT_EQ(announced->seen.back().detail, json::write(done));
    const auto kept = co_await tasks->cancel("alice", id);
    EXPECT_TRUE(kept);
    const auto ignored = co_await tasks->update("alice", id, {{"first", json::object()}});
    EXPECT_TRUE(ignored);
    const auto same = co_await tasks->get("alice", id);
    EXPECT_EQ(*same, done) << "a task that has ended stays as it is";
  }

  Task<void> end(Tasks* tasks, Announcements* announced, std::string name, std::string label, std::string status,
                 json::object* out) {
    const auto id = co_await promoted(tasks->start(tool(name), call(label)));
    *out = co_await until(tasks, announced, "alice", id, status);
  }
  json::object ending(Tasks& tasks, const std::string& label, const std::string& status,
                      const std::string& name = "ends_badly") {
    Announcements announced(server, loop);
    json::object task;
    run_task(loop, end(&tasks, &announced, name, label, status, &task));
    return task;
  }
};

TEST_F(Lifecycle, AFastToolAnswersAtOnceAndLeavesNothing) {
  Tasks tasks(server, settings);
  run_task(loop, fast_answer(&tasks));
  EXPECT_FALSE(fs::exists(settings.directory));
  run_task(loop, tasks.stop());
}

TEST_F(Lifecycle, ATaskIsCreatedWorksAndCompletes) {
  Tasks tasks(server, settings);
  Announcements announced(server, loop);
  run_task(loop, one_task(&tasks, &announced));
  run_task(loop, tasks.stop());
  EXPECT_TRUE(problems.empty());
}

TEST_F(Lifecycle, TheSameInMemoryOnly) {
  settings.directory.clear();
  Tasks tasks(server, settings);
  Announcements announced(server, loop);
  run_task(loop, one_task(&tasks, &announced));
  run_task(loop, tasks.stop());
}

TEST_F(Lifecycle, EndsAsTheHandlerDoes) {
  Tasks tasks(server, settings);
  const auto error = ending(tasks, "error", "completed");
  EXPECT_EQ(text_of(error.at("result").get_object(), "isError"), "true");
  EXPECT_NE(text_of(error, "result").find("No such model."), std::string::npos);
  const auto flagged = ending(tasks, "", "completed");
  EXPECT_EQ(text_of(flagged.at("result").get_object(), "isError"), "true");
  const auto refusal = ending(tasks, "refusal", "failed");
  EXPECT_EQ(text_of(refusal, "error"), R"({"code":-32001,"message":"Refused.","data":{"why":"test"}})");
  EXPECT_FALSE(refusal.contains("result"));
  EXPECT_NE(text_of(ending(tasks, "throw", "failed"), "error").find("thrown"), std::string::npos);
  EXPECT_NE(text_of(ending(tasks, "schema", "failed", "has_output"), "error").find("output schema"), std::string::npos);
  EXPECT_NE(text_of(ending(tasks, "long", "completed"), "result").find("Ask for less"), std::string::npos);
  EXPECT_NE(text_of(ending(tasks, "", "failed", "asks_without_end"), "error").find("without end"), std::string::npos);
  run_task(loop, tasks.stop());
}

class Progressing : public TasksTest {
 public:
  Task<void> talk(Tasks* tasks) {
    ToolCall made = call("model");
    int seen = 0;
    made.progress = Progress([&seen](double, std::optional<double>, std::string_view) { ++seen; });
    const auto run = tasks->start(tool("slow"), std::move(made));
    while (handlers.gate.waiting() == 0) co_await after_what_is_ready(loop.executor());
    EXPECT_EQ(seen, 1) << "the request is still open";
    const auto id = co_await promoted(run);
    const auto quiet = co_await tasks->get("alice", id);
    EXPECT_EQ(text_of(*quiet, "statusMessage"), "(none)");
    const auto other = co_await promoted(tasks->start(tool("slow"), call("tensors")));
    while (handlers.gate.waiting() < 2) co_await after_what_is_ready(loop.executor());
    EXPECT_EQ(seen, 1) << "its request was answered";
  }
  Task<void> talk_later(Tasks* tasks) {
    const auto run = tasks->start(tool("says_after_the_gate"), call());
    const auto id = co_await promoted(run);
    handlers.gate.open();
    while (said == 0) co_await after_what_is_ready(loop.executor());
    const auto task = co_await tasks->get("alice", id);
    EXPECT_EQ(text_of(*task, "statusMessage"), "\"90 %\"");
  }
  static Task<Result<ToolResult>> says(Progressing* test, Gate* later, ToolCall call) {
    co_await test->handlers.gate.pass(call.cancel);
    call.progress(90, 100, "90 %");
    call.progress(91, 100, std::string(5000, 'x'));  // a text so far, no status
    ++test->said;
    co_await later->pass(call.cancel);
    co_return ToolResult{.text = "said"};
  }
  int said = 0;
};

TEST_F(Progressing, GoesToTheRequestUntilThatIsAnswered) {
  Tasks tasks(server, settings);
  run_task(loop, talk(&tasks));
  run_task(loop, tasks.stop());
}

TEST_F(Progressing, ThenToThePolls) {
  Gate later(loop);
  add(make_tool("says_after_the_gate", [&](ToolCall call) { return says(this, &later, std::move(call)); }));
  Tasks tasks(server, settings);
  run_task(loop, talk_later(&tasks));
  run_task(loop, tasks.stop());
}

class Belonging : public TasksTest {
 public:
  Task<void> strangers(Tasks* tasks) {
    const auto id = co_await promoted(tasks->start(tool("asks"), call()));
    for (const std::string principal : {"bob", "", "alice2"}) {
      const auto got = co_await tasks->get(principal, id);
      const auto updated = co_await tasks->update(principal, id, accept("first"));
      const auto cancelled = co_await tasks->cancel(principal, id);
      const auto unknown = co_await tasks->get("alice", std::string(32, '0'));
      EXPECT_EQ(got.error().code, ErrorCode::kNotFound);
      EXPECT_EQ(updated.error(), got.error());
      EXPECT_EQ(cancelled.error(), got.error());
      EXPECT_EQ(unknown.error().code, ErrorCode::kNotFound);
      EXPECT_EQ(unknown.error().message.size(), got.error().message.size()) << "the same but for the id";
    }
    const auto task = co_await tasks->get("alice", id);
    EXPECT_NE(text_of(*task, "status"), "\"cancelled\"");
  }
  Task<void> fill(Tasks* tasks) {
    for (int i = 0; i < 3; ++i) co_await promoted(tasks->start(tool("slow"), call()));
    const auto run = tasks->start(tool("slow"), call("one more"));
    const auto refused = co_await run->promote();
    EXPECT_EQ(refused.error().code, ErrorCode::kRateLimited);
    while (handlers.cancelled.empty()) co_await after_what_is_ready(loop.executor());
    EXPECT_EQ(handlers.cancelled.front(), "one more");
    co_await promoted(tasks->start(tool("slow"), call("bob's", "bob")));
  }
  Task<void> expire(Tasks* tasks, Announcements* announced) {
    const auto unfinished = co_await promoted(tasks->start(tool("slow"), call()));
    const auto ended = co_await promoted(tasks->start(tool("asks"), call()));
    co_await until(tasks, announced, "alice", ended, "input_required");
    const auto done = co_await tasks->cancel("alice", ended);
    EXPECT_TRUE(done);
    const auto before = unix_ms();
    while (unix_ms() <= before + 1) co_await after_what_is_ready(loop.executor());
    const auto gone = co_await tasks->get("alice", ended);
    EXPECT_EQ(gone.error().code, ErrorCode::kNotFound);
    const auto still = co_await tasks->get("alice", unfinished);
    EXPECT_TRUE(still);
  }
  Task<void> many(Tasks* tasks, Announcements* announced, int count) {
    std::vector<std::string> ids;
    for (int i = 0; i < count; ++i) {
      ids.push_back(co_await promoted(tasks->start(tool("slow"), call(std::to_string(i)))));
    }
    const auto refused = co_await tasks->start(tool("slow"), call())->promote();
    EXPECT_FALSE(refused);
    handlers.gate.open();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto task = co_await until(tasks, announced, "alice", ids[i], "completed");
      EXPECT_EQ(text_of(task.at("result").get_object(), "structuredContent"),
                R"({"label":")" + std::to_string(i) + "\"}");
    }
  }
};

TEST_F(Belonging, AStrangersTaskIsAnUnknownTask) {
  Tasks tasks(server, settings);
  run_task(loop, strangers(&tasks));
  run_task(loop, tasks.stop());
}

TEST_F(Belonging, AStrangersTaskIsAnUnknownTaskInMemoryToo) {
  settings.directory.clear();
  Tasks tasks(server, settings);
  run_task(loop, strangers(&tasks));
  run_task(loop, tasks.stop());
}

TEST_F(Belonging, APrincipalHasSoManyTasks) {
  settings.max_per_principal = 3;
  for (const auto& directory : {settings.directory, fs::path()}) {
    settings.directory = directory;
    handlers.cancelled.clear();
    Tasks tasks(server, settings);
    run_task(loop, fill(&tasks));
    run_task(loop, tasks.stop());
  }
}

TEST_F(Belonging, TasksAreForgottenWhenTheyEndedAndTheirTimeIsOver) {
  settings.ttl = 1ms;
  for (const auto& directory : {settings.directory, fs::path()}) {
    settings.directory = directory;
    Tasks tasks(server, settings);
    Announcements announced(server, loop);
    run_task(loop, expire(&tasks, &announced));
    run_task(loop, tasks.stop());
  }
}

TEST_F(Belonging, AThousandTasks) {
  settings.directory.clear();
  Tasks tasks(server, settings);
  Announcements announced(server, loop);
  run_task(loop, many(&tasks, &announced, 1000));
  run_task(loop, tasks.stop());
}

TEST_F(Belonging, ManyTasksOnDisk) {
  settings.max_per_principal = 100;
  Tasks tasks(server, settings);
  Announcements announced(server, loop);
  run_task(loop, many(&tasks, &announced, 100));
  run_task(loop, tasks.stop());
  EXPECT_TRUE(problems.empty());
}

}  // namespace
}  // namespace llm::mcp
