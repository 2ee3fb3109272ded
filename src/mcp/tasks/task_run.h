#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "async/cancel.h"
#include "async/event.h"
#include "async/loop.h"
#include "async/task.h"
#include "async/task_group.h"
#include "async/timer_wheel.h"
#include "mcp/server.h"
#include "mcp/tasks/task_book.h"
#include "mcp/tasks/tasks.h"
#include "mcp/tool.h"

namespace llm::mcp {

class TaskRun;

// The runs of one loop. Belongs to that loop but for the group's executor.
struct TaskHome {
  explicit TaskHome(Loop& on) : loop(on), group(on.executor()) {}
  Loop& loop;
  TaskGroup group;
  CancelSource stopping;
  std::set<TaskRun*> runs;  // those with a coroutine in the group
};

// What all runs share. They may outlive the Tasks.
struct Tasks::State {
  State(const Server& of, TaskSettings settings) : server(of), book(of.changes(), std::move(settings)) {}

  // The home of the runs on `loop`; made when the first of them comes, gone after the last.
  std::shared_ptr<TaskHome> home(Loop& loop);
  std::vector<std::shared_ptr<TaskHome>> all_homes();

  const Server& server;
  TaskBook book;
  std::atomic<bool> stopping = false;
  std::mutex mutex;
  std::map<Loop*, std::weak_ptr<TaskHome>> homes;
  std::atomic<Loop*> recovery_loop = nullptr;  // after recover()
};

// A call of a tool that may become a task, or the rest of one that did. Everything on its loop.
class TaskRun final : public Tasks::Run, public std::enable_shared_from_this<TaskRun> {
 public:
  TaskRun(std::shared_ptr<Tasks::State> state, std::shared_ptr<const RegisteredTool> tool, ToolCall call);
  ~TaskRun() override;

  // Calls the tool for the first time.
  void begin();
  // Goes on with a task of an earlier process: calls the tool, or waits for answers.
  void resume(std::shared_ptr<TaskEntry> entry);

  Task<std::optional<Result<ToolResult>>> wait(std::chrono::milliseconds patience, CancelToken cancel) override;
  Task<Result<json::object>> promote() override;
  void cancel() override;
  // The process ends.
  void stop();

 private:
  struct Sinks;  // what the handler's copies of Progress and ClientLog lead to
  class Running;

  static Task<void> play(std::shared_ptr<TaskRun> self, bool call_first);
  static Task<void> write_partial(std::shared_ptr<TaskRun> self);
  Task<Result<ToolResult>> call_handler();
  Result<void> renew_principal();
  Task<void> settle();
  Task<bool> wait_for_answers();
  void attach(std::shared_ptr<TaskEntry> entry);
  void on_record_changed();
  ToolCall make_call();
  TaskRecord make_record() const;
  void keep_partial(std::string_view text);
  void schedule_partial();

  const std::shared_ptr<Tasks::State> state_;  // shared with all runs
  const std::shared_ptr<TaskHome> home_;       // shared with the runs of this loop
  const std::shared_ptr<const RegisteredTool> tool_;
  const std::shared_ptr<Sinks> sinks_;
  ToolCall call_;  // of the present round
  CancelSource cancel_;
  CancelRegistration client_left_;  // while the client's request lasts
  int rounds_ = 0;

  std::optional<Result<ToolResult>> outcome_;  // of the last round, until somebody takes it
  bool over_ = false;                          // wait() gave the outcome away
  Event returned_;                             // the handler has
  std::shared_ptr<TaskEntry> entry_;           // of the task this is, or null
  Event changed_;                              // the task's record has

  std::string partial_;
  bool partial_pending_ = false;
  bool partial_writing_ = false;
  std::optional<std::chrono::steady_clock::time_point> partial_written_ = {};  // the last time
  Deadline partial_due_{[this] { schedule_partial(); }};
};

}  // namespace llm::mcp
