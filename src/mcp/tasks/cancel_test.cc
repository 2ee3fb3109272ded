#include <gtest/gtest.h>
#include <string>

#include "mcp/tasks/tasks.h"
#include "mcp/tasks/test_support.h"

namespace llm::mcp {
namespace {

using namespace std::chrono_literals;
using namespace tasks_test;

class Cancelling : public TasksTest {
 public:
  Task<void> working(Tasks* tasks) {
    const auto id = co_await promoted(tasks->start(tool("slow"), call("working")));
    while (handlers.gate.waiting() == 0) co_await after_what_is_ready(loop.executor());
    for (int i = 0; i < 2; ++i) {
      const auto cancelled = co_await tasks->cancel("alice", id);
      EXPECT_TRUE(cancelled);
      const auto task = co_await tasks->get("alice", id);
      EXPECT_EQ(text_of(*task, "status"), "\"cancelled\"");
    }
    while (handlers.cancelled.empty()) co_await after_what_is_ready(loop.executor());
    for (int i = 0; i < 10; ++i) co_await after_what_is_ready(loop.executor());
    const auto task = co_await tasks->get("alice", id);
    EXPECT_EQ(text_of(*task, "status"), "\"cancelled\"") << "whatever the handler returned";
    EXPECT_EQ(text_of(*task, "result"), "(none)");
  }

  Task<void> asking(Tasks* tasks, Announcements* announced) {
    const auto id = co_await promoted(tasks->start(tool("asks"), call()));
    co_await until(tasks, announced, "alice", id, "input_required");
    const auto cancelled = co_await tasks->cancel("alice", id);
    EXPECT_TRUE(cancelled);
    const auto late = co_await tasks->update("alice", id, accept("first"));
    EXPECT_TRUE(late);
    const auto task = co_await tasks->get("alice", id);
    EXPECT_EQ(text_of(*task, "status"), "\"cancelled\"");
    EXPECT_FALSE(task->contains("inputRequests"));
  }

  // The handler ends while the cancel is on its way to the disk, or the other way round: one of them wins, for good.
  Task<void> race(Tasks* tasks, Announcements* announced) {
    for (int i = 0; i < 50; ++i) {
      handlers.gate.close();
      const auto id = co_await promoted(tasks->start(tool("slow"), call()));
      while (handlers.gate.waiting() == 0) co_await after_what_is_ready(loop.executor());
      handlers.gate.open();
      for (int j = 0; j < i % 5; ++j) co_await after_what_is_ready(loop.executor());
      const auto cancelled = co_await tasks->cancel("alice", id);
      EXPECT_TRUE(cancelled);
      const auto task = co_await tasks->get("alice", id);
      const auto status = text_of(*task, "status");
      EXPECT_TRUE(status == "\"cancelled\"" || status == "\"completed\"") << status;
      std::size_t ends = 0;
      for (int j = 0; j < 10; ++j) co_await after_what_is_ready(loop.executor());
      for (const auto& change : announced->seen) {
        if (change.subject == id && change.detail.find("\"working\"") == std::string::npos) ++ends;
      }
      EXPECT_EQ(ends, 1U);
      const auto same = co_await tasks->get("alice", id);
      EXPECT_EQ(*same, *task);
    }
  }

  Task<void> the_client_leaves(Tasks* tasks) {
    const auto run = tasks->start(tool("slow"), call("left"));
    while (handlers.gate.waiting() == 0) co_await after_what_is_ready(loop.executor());
    loop.post([this] { client.cancel(); });
    const auto result = co_await run->wait(1h, client.token());
    EXPECT_FALSE(result.has_value() && !client.cancelled());
    while (handlers.cancelled.empty()) co_await after_what_is_ready(loop.executor());
  }

  Task<void> the_client_leaves_while_the_task_is_written(Tasks* tasks, Announcements* announced) {
    const auto run = tasks->start(tool("slow"), call("left"));
    loop.post([this] { client.cancel(); });  // runs while promote() waits for the disk
    const auto id = co_await promoted(run);
    co_await until(tasks, announced, "alice", id, "cancelled");
  }

  Task<void> after_it_is_a_task(Tasks* tasks, Announcements* announced) {
    const auto id = co_await promoted(tasks->start(tool("slow"), call()));
    client.cancel();
    handlers.gate.open();
    co_await until(tasks, announced, "alice", id, "completed");
    EXPECT_TRUE(handlers.cancelled.empty());
  }
};

TEST_F(Cancelling, EndsWorkAndQuestions) {
  Tasks tasks(server, settings);
  Announcements announced(server, loop);
  run_task(loop, working(&tasks));
  run_task(loop, asking(&tasks, &announced));
  run_task(loop, tasks.stop());
}

TEST_F(Cancelling, RacesWithTheEndAreWonOnce) {
  Tasks tasks(server, settings);
  Announcements announced(server, loop);
  run_task(loop, race(&tasks, &announced));
  run_task(loop, tasks.stop());
}

TEST_F(Cancelling, AClientThatLeavesCancelsWhatIsNoTaskYet) {
  Tasks tasks(server, settings);
  run_task(loop, the_client_leaves(&tasks));
  EXPECT_FALSE(fs::exists(settings.directory));
  run_task(loop, tasks.stop());
}

TEST_F(Cancelling, AClientThatLeavesBeforeItKnowsTheIdCancelsTheTask) {
  Tasks tasks(server, settings);
  Announcements announced(server, loop);
  run_task(loop, the_client_leaves_while_the_task_is_written(&tasks, &announced));
  run_task(loop, tasks.stop());
}

TEST_F(Cancelling, AClientThatLeavesLaterDoesNot) {
  Tasks tasks(server, settings);
  Announcements announced(server, loop);
  run_task(loop, after_it_is_a_task(&tasks, &announced));
  run_task(loop, tasks.stop());
}

}  // namespace
}  // namespace llm::mcp
