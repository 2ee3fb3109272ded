#include <csignal>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "mcp/principal_under_test.h"
#include "mcp/tasks/task_journal.h"
#include "mcp/tasks/tasks.h"
#include "mcp/tasks/test_support.h"

namespace llm::mcp {
namespace {

using namespace std::chrono_literals;
using namespace tasks_test;

class Restart : public TasksTest {
 public:
  Task<void> create(Tasks* tasks, std::vector<std::string> tools, std::vector<std::string>* ids) {
    for (const auto& name : tools) ids->push_back(co_await promoted(tasks->start(tool(name), call(name))));
    while (handlers.gate.waiting() < tools.size()) co_await after_what_is_ready(loop.executor());
  }
  Task<void> expect_cut(Tasks* tasks, std::string id, std::string data) {
    const auto task = co_await tasks->get("alice", id);
    EXPECT_TRUE(task);
    if (!task) co_return;
    EXPECT_EQ(text_of(*task, "status"), "\"failed\"");
    const auto& error = task->at("error").get_object();
    EXPECT_EQ(text_of(error, "code"), "-32603");
    EXPECT_NE(text_of(error, "message").find("ended before"), std::string::npos);
    EXPECT_EQ(text_of(error, "data"), data);
  }
  Task<void> expect_status(Tasks* tasks, std::string id, std::string status) {
    const auto task = co_await tasks->get("alice", id);
    EXPECT_TRUE(task) << task.error().message;
    if (task) EXPECT_EQ(json::string_or(*task, "status"), status);
  }
  Task<void> finish(Tasks* tasks, Announcements* announced, std::string id) {
    handlers.gate.open();
    const auto task = co_await until(tasks, announced, "alice", id, "completed");
    EXPECT_EQ(text_of(task.at("result").get_object(), "structuredContent"), R"({"label":"resumable"})");
  }
  Task<void> ask(Tasks* tasks, Announcements* announced, std::string* id) {
    *id = co_await promoted(tasks->start(tool("asks"), call()));
    co_await until(tasks, announced, "alice", *id, "input_required");
    const auto done = co_await tasks->update("alice", *id, {{"first", json::object{{"action", "decline"}}}});
    EXPECT_TRUE(done);
  }
  Task<void> answer(Tasks* tasks, Announcements* announced, std::string id) {
    auto done = co_await tasks->update("alice", id, {{"second", json::object{{"action", "accept"}}}});
    EXPECT_TRUE(done);
    for (;;) {
      const auto task = co_await until(tasks, announced, "alice", id, "input_required");
      if (task.at("inputRequests").get_object().contains("third")) break;
      co_await announced->next();
    }
    EXPECT_EQ(handlers.last_inputs, R"({"first":{"action":"decline"},"second":{"action":"accept"}})");
    done = co_await tasks->update("alice", id, {{"third", json::object{{"action", "accept"}}}});
    EXPECT_TRUE(done);
    co_await until(tasks, announced, "alice", id, "completed");
  }
  Task<void> expect_busy(Tasks* tasks, std::string id) {
    const auto cancelled = co_await tasks->cancel("alice", id);
    EXPECT_EQ(cancelled.error().code, ErrorCode::kConflict);
    const auto updated = co_await tasks->update("alice", id, {});
    EXPECT_EQ(updated.error().code, ErrorCode::kConflict);
  }
  Task<void> cancel(Tasks* tasks, std::string id) {
    const auto cancelled = co_await tasks->cancel("alice", id);
    EXPECT_TRUE(cancelled);
  }
  // Only for tests: what kill -9 leaves behind. In a child process; never returns.
  Task<void> create_and_die(Tasks* tasks, std::string tool_name) {
    const auto id = co_await promoted(tasks->start(tool(tool_name), call(tool_name)));
    const auto written = [this] {
      for (const auto& entry : fs::recursive_directory_iterator(settings.directory)) {
        if (entry.path().extension() == ".partial") return true;
      }
      return false;
    };
    while (!written()) co_await after_what_is_ready(loop.executor());
    raise(SIGKILL);
  }
  std::string the_id() const {
    for (const auto& entry : fs::recursive_directory_iterator(settings.directory)) {
      if (entry.path().extension() == ".json") return entry.path().stem();
    }
    return {};
  }
};

TEST_F(Restart, ResumableTasksGoOnAndOthersFailWithWhatTheyHad) {
  settings.partial_interval = 1h;  // so the last text is written at the end or never
  handlers.partials = {"Once", "Once upon", "Once upon a time"};
  std::vector<std::string> ids;
  {
    Tasks tasks(server, settings);
    run_task(loop, create(&tasks, {"slow", "resumable"}, &ids));
    run_task(loop, tasks.stop());
    EXPECT_EQ(handlers.cancelled.size(), 2U) << "stopping cancels";
  }
  EXPECT_EQ(handlers.calls, 2);
  handlers.partials.clear();
  Tasks tasks(server, settings);
  Announcements announced(server, loop);
  run_task(loop, tasks.recover(loop));
  run_task(loop, expect_cut(&tasks, ids[0], R"({"partial":"Once upon a time"})"));
  run_task(loop, expect_status(&tasks, ids[1], "working"));
  run_task(loop, finish(&tasks, &announced, ids[1]));
  EXPECT_EQ(handlers.calls, 3);
  run_task(loop, tasks.stop());
  EXPECT_TRUE(problems.empty());
}

TEST_F(Restart, QuestionsOutliveTheProcess) {
  std::string id;
  {
    Tasks tasks(server, settings);
    Announcements announced(server, loop);
    run_task(loop, ask(&tasks, &announced, &id));
    run_task(loop, tasks.stop());
  }
  Tasks tasks(server, settings);
  Announcements announced(server, loop);
  run_task(loop, tasks.recover(loop));
  run_task(loop, answer(&tasks, &announced, id));
  EXPECT_EQ(handlers.calls, 3);
  run_task(loop, tasks.stop());
}

// What a revoked key had begun ends when the process that runs it does.
TEST_F(Restart, ATaskWhosePrincipalMayNothingAnyMoreFails) {
  std::vector<std::string> ids;
  {
    Tasks tasks(server, settings);
    run_task(loop, create(&tasks, {"resumable"}, &ids));
    run_task(loop, tasks.stop());
  }
  settings.principal_now = [](const access::Principal&) { return std::nullopt; };
  Tasks tasks(server, settings);
  run_task(loop, tasks.recover(loop));
  run_task(loop, expect_cut(&tasks, ids[0], "(none)"));
  EXPECT_EQ(handlers.calls, 1);
  run_task(loop, tasks.stop());
}

TEST_F(Restart, ATaskGoesOnWithTheRightsOfToday) {
  std::vector<std::string> ids;
  {
    Tasks tasks(server, settings);
    run_task(loop, create(&tasks, {"resumable"}, &ids));
    run_task(loop, tasks.stop());
  }
  const access::Principal narrowed = somebody("alice", {access::Permission::kModelsRead});
  settings.principal_now = [&](const access::Principal&) { return std::optional(narrowed); };
  Tasks tasks(server, settings);
  run_task(loop, tasks.recover(loop));
  run_task(loop, expect_cut(&tasks, ids[0], "(none)"));  // its tool needs admin
  EXPECT_EQ(handlers.calls, 1);
  run_task(loop, tasks.stop());
}

TEST_F(Restart, WhoCannotTellTheirRightsLeavesTasksOfOthersAlone) {
  const auto able = settings.principal_now;
  std::vector<std::string> ids;
  {
    Tasks tasks(server, settings);
    run_task(loop, create(&tasks, {"resumable"}, &ids));
    run_task(loop, tasks.stop());
  }
  {
    settings.principal_now = {};
    Tasks stdio(server, settings);
    run_task(loop, stdio.recover(loop));
    EXPECT_EQ(handlers.calls, 1);
    run_task(loop, expect_status(&stdio, ids[0], "working"));
    run_task(loop, stdio.stop());
  }
  settings.principal_now = able;
  Tasks tasks(server, settings);
  Announcements announced(server, loop);
  run_task(loop, tasks.recover(loop));
  run_task(loop, finish(&tasks, &announced, ids[0]));
  EXPECT_EQ(handlers.calls, 2);
  run_task(loop, tasks.stop());
}

TEST_F(Restart, AToolThatIsGoneFailsItsTasks) {
  std::vector<std::string> ids;
  {
    add(make_tool("passing", [this](ToolCall call) { return slow(&handlers, std::move(call)); }, true));
    Tasks tasks(server, settings);
    run_task(loop, create(&tasks, {"passing"}, &ids));
    run_task(loop, tasks.stop());
  }
  Server other({.name = "test", .version = "2"});
  Tasks tasks(other, settings);
  run_task(loop, tasks.recover(loop));
  run_task(loop, expect_cut(&tasks, ids[0], "(none)"));
  run_task(loop, tasks.stop());
}

TEST_F(Restart, AKilledProcessLeavesItsTasksToTheNext) {
  settings.partial_interval = 0ms;
  handlers.partials = {"Half a st"};
  for (const std::string name : {"slow", "resumable"}) {
    const pid_t child = fork();
    if (child == 0) {
      Tasks tasks(server, settings);
      run_task(loop, create_and_die(&tasks, name));
      _exit(1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
    const auto id = the_id();

    Tasks tasks(server, settings);
    Announcements announced(server, loop);
    run_task(loop, tasks.recover(loop));
    if (name == "slow") {
      run_task(loop, expect_cut(&tasks, id, R"({"partial":"Half a st"})"));
    } else {
      run_task(loop, finish(&tasks, &announced, id));
    }
    run_task(loop, tasks.stop());
    fs::remove_all(settings.directory);
  }
}

TEST_F(Restart, ProcessesThatShareADirectoryLeaveEachOthersTasksAlone) {
  std::vector<std::string> ids;
  auto first = std::make_unique<Tasks>(server, settings);
  Tasks second(server, settings);
  Announcements announced(server, loop);
  run_task(loop, create(first.get(), {"slow", "resumable"}, &ids));
  run_task(loop, second.recover(loop));
  EXPECT_EQ(handlers.calls, 2) << "nothing was taken over";
  for (const auto& id : ids) {
    run_task(loop, expect_status(&second, id, "working"));
    run_task(loop, expect_busy(&second, id));
    run_task(loop, expect_status(first.get(), id, "working"));
  }
  run_task(loop, cancel(first.get(), ids[0]));
  run_task(loop, expect_status(&second, ids[0], "cancelled"));
  run_task(loop, cancel(&second, ids[0]));

  run_task(loop, first->stop());
  first.reset();
  run_task(loop, expect_status(&second, ids[1], "working"));  // whoever asks next takes it over
  run_task(loop, finish(&second, &announced, ids[1]));
  EXPECT_EQ(handlers.calls, 3);
  run_task(loop, second.stop());
}

// Makes every write beyond `bytes` fail, as a full disk does; the whole process.
class SmallFiles {
 public:
  explicit SmallFiles(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SmallFiles() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

class FullDisk : public Restart {
 public:
  Task<void> cannot_create(Tasks* tasks) {
    const auto refused = co_await tasks->start(tool("slow"), call("no room"))->promote();
    EXPECT_FALSE(refused);
    if (!refused) EXPECT_NE(refused.error().message.find("cannot write"), std::string::npos) << refused.error().message;
    while (handlers.cancelled.empty()) co_await after_what_is_ready(loop.executor());
  }
  Task<void> cannot_answer(Tasks* tasks, std::string id) {
    const auto refused = co_await tasks->update("alice", id, {{"second", json::object()}});
    EXPECT_FALSE(refused);
    const auto task = co_await tasks->get("alice", id);
    EXPECT_TRUE(task->at("inputRequests").get_object().contains("second")) << "it was not taken";
  }
  Task<void> cannot_end(Tasks* tasks, Announcements* announced, std::string id) {
    handlers.gate.open();
    co_await until(tasks, announced, "alice", id, "completed");
  }
};

TEST_F(FullDisk, RefusesANewTaskAndLeavesNothing) {
  Tasks tasks(server, settings);
  {
    const SmallFiles full(64);
    run_task(loop, cannot_create(&tasks));
  }
  EXPECT_EQ(the_id(), "");
  run_task(loop, tasks.stop());
}

TEST_F(FullDisk, RefusesAnswersThatItCannotKeep) {
  Tasks tasks(server, settings);
  Announcements announced(server, loop);
  std::string id;
  run_task(loop, ask(&tasks, &announced, &id));
  {
    const SmallFiles full(64);
    run_task(loop, cannot_answer(&tasks, id));
  }
  run_task(loop, answer(&tasks, &announced, id));
  run_task(loop, tasks.stop());
}

TEST_F(FullDisk, StillTellsAResultAndWritesItLater) {
  Tasks tasks(server, settings);
  Announcements announced(server, loop);
  std::vector<std::string> ids;
  run_task(loop, create(&tasks, {"resumable"}, &ids));
  {
    const SmallFiles full(64);
    run_task(loop, cannot_end(&tasks, &announced, ids[0]));
    run_task(loop, expect_status(&tasks, ids[0], "completed"));
  }
  EXPECT_EQ(problems.size(), 1U);
  run_task(loop, tasks.recover(loop));  // sweeps, as it does now and then
  EXPECT_EQ(TaskJournal(settings.directory).load("alice", ids[0])->status, TaskStatus::kCompleted);
  run_task(loop, expect_status(&tasks, ids[0], "completed"));
  run_task(loop, tasks.stop());
}

}  // namespace
}  // namespace llm::mcp
