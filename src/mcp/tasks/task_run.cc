#include "mcp/tasks/task_run.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <exception>
#include <fmt/format.h>
#include <utility>

#include "base/random.h"
#include "mcp/protocol.h"
#include "mcp/tasks/task_outcome.h"

namespace llm::mcp {
namespace {

constexpr int kMostRounds = 100;

}  // namespace

std::shared_ptr<TaskHome> Tasks::State::home(Loop& loop) {
  const std::lock_guard guard(mutex);
  std::erase_if(homes, [](const auto& known) { return known.second.expired(); });
  auto& known = homes[&loop];
  auto found = known.lock();
  if (!found) known = found = std::make_shared<TaskHome>(loop);
  return found;
}

std::vector<std::shared_ptr<TaskHome>> Tasks::State::all_homes() {
  const std::lock_guard guard(mutex);
  std::vector<std::shared_ptr<TaskHome>> all;
  for (const auto& [loop, known] : homes) {
    if (auto found = known.lock()) all.push_back(std::move(found));
  }
  return all;
}

struct TaskRun::Sinks {
  Progress progress;
  ClientLog log;
  std::weak_ptr<TaskEntry> entry;  // once it is a task
};

// While a coroutine of the run goes on, its home knows it. Also leaves when the coroutine is destroyed with its loop.
class TaskRun::Running {
 public:
  explicit Running(TaskRun& run) : run_(run) { run_.home_->runs.insert(&run_); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() { run_.home_->runs.erase(&run_); }

 private:
  TaskRun& run_;
};

TaskRun::TaskRun(std::shared_ptr<Tasks::State> state, std::shared_ptr<const RegisteredTool> tool, ToolCall call)
    : state_(std::move(state)),
      home_(state_->home(*call.loop)),
      tool_(std::move(tool)),
      sinks_(std::make_shared<Sinks>(std::move(call.progress), std::move(call.log))),
      call_(std::move(call)),
      returned_(home_->loop.executor()),
      changed_(home_->loop.executor()) {}

TaskRun::~TaskRun() {
  if (entry_) entry_->on_change({});
}

void TaskRun::begin() {
  const std::weak_ptr<TaskRun> weak = weak_from_this();
  client_left_ = call_.cancel.on_cancel([weak] {
    if (const auto self = weak.lock()) self->cancel();
  });
  home_->group.spawn(play(shared_from_this(), true));
}

void TaskRun::resume(std::shared_ptr<TaskEntry> entry) {
  const auto record = entry->record();
  attach(std::move(entry));
  home_->group.spawn(play(shared_from_this(), record->status == TaskStatus::kWorking));
}

// Rounds until the call or the task ends. `call_first`: else there is an outcome to settle, or answers to wait for.
Task<void> TaskRun::play(std::shared_ptr<TaskRun> self, bool call_first) {
  const Running running(*self);
  // Not within the caller: who starts a run and asks at once finds no result, however quick the handler is.
  co_await boost::asio::post(self->home_->loop.executor(), use_task);
  if (call_first) {
    self->outcome_ = co_await self->call_handler();
    self->returned_.notify();
  }
  while (self->entry_) {
    if (self->outcome_) co_await self->settle();
    if (!co_await self->wait_for_answers()) break;
    self->outcome_ = co_await self->call_handler();
  }
}

ToolCall TaskRun::make_call() {
  ToolCall call = call_;
  call.loop = &home_->loop;
  call.cancel = cancel_.token();
  call.progress = Progress([sinks = sinks_](double progress, std::optional<double> total, std::string_view message) {
    if (const auto entry = sinks->entry.lock()) return entry->set_progress(message);
    sinks->progress(progress, total, message);
  });
  call.log = ClientLog([sinks = sinks_](LogLevel level, const json::value& data, std::string_view logger) {
    sinks->log(level, data, logger);
  });
  call.keep_partial = [weak = weak_from_this()](std::string_view text) {
    if (const auto self = weak.lock()) self->keep_partial(text);
  };
  return call;
}

// Between two rounds lie hours, if the client takes them: what its principal may do is asked anew.
Result<void> TaskRun::renew_principal() {
  const auto& principal_now = state_->book.settings().principal_now;
  if (rounds_ <= 1 || !principal_now) return {};
  auto principal = principal_now(call_.caller->principal);
  if (!principal || !tool_->tool.open_to(*principal)) {
    return fail(ErrorCode::kPermissionDenied, "the task's caller may not use the tool any more");
  }
  Caller caller = *call_.caller;
  caller.principal = std::move(*principal);
  call_.caller = std::make_shared<const Caller>(std::move(caller));
  return {};
}

Task<Result<ToolResult>> TaskRun::call_handler() {
  if (state_->stopping) co_return fail(ErrorCode::kUnavailable, "The server is shutting down.");
  if (++rounds_ > kMostRounds) {
    co_return ToolResult{.refusal = Refusal{kInternalError, "Internal error: the tool asks without end.", {}}};
  }
  if (auto renewed = renew_principal(); !renewed) co_return fail(std::move(renewed.error()));
  std::string bug;
  try {
    co_return co_await tool_->tool.handler(make_call());
  } catch (const std::exception& error) {
    bug = error.what();
  }
  co_return ToolResult{
      .refusal = Refusal{kInternalError, fmt::format("Internal error in tool '{}': {}", tool_->tool.name, bug), {}}};
}

Task<void> TaskRun::settle() {
  Result<ToolResult> outcome = std::move(*outcome_);
  outcome_.reset();
  if (state_->stopping) {  // what it returned when told to stop is no result: the next start decides
    if (partial_pending_ && !std::exchange(partial_writing_, true)) co_await write_partial(shared_from_this());
    co_return;
  }
  // The edit is run once, but a std::function must be copyable.
  auto shared = std::make_shared<Result<ToolResult>>(std::move(outcome));
  auto edit = [shared, &server = state_->server, tool = tool_, caller = call_.caller](TaskRecord& record) {
    if (record.ended()) return false;  // cancelled meanwhile
    apply_outcome(server, *tool, *caller, std::move(*shared), record);
    return true;
  };
  partial_pending_ = false;
  partial_due_.clear();
  const auto kept = co_await state_->book.change(entry_, std::move(edit), TaskBook::IfDiskFails::kKeepInMemory);
  (void)kept;  // never fails with kKeepInMemory
}

// False: the handler is not to be called again.
Task<bool> TaskRun::wait_for_answers() {
  for (;;) {
    const auto record = entry_->record();
    if (record->ended() || state_->stopping) co_return false;
    if (record->status == TaskStatus::kWorking) {
      call_.inputs = record->inputs;
      call_.state = record->state;
      co_return true;
    }
    co_await changed_.wait();
  }
}

Task<std::optional<Result<ToolResult>>> TaskRun::wait(std::chrono::milliseconds patience, CancelToken cancel) {
  const auto self = shared_from_this();
  bool over = patience <= std::chrono::milliseconds(0);
  Deadline deadline([&over, self] {
    over = true;
    self->returned_.notify();
  });
  if (!over) home_->loop.wheel().arm(deadline, patience);
  const auto registration = cancel.on_cancel([self] { self->returned_.notify(); });
  while (!outcome_ && !over && !cancel.cancelled()) co_await returned_.wait();
  if (!outcome_) co_return std::nullopt;
  over_ = true;
  co_return std::exchange(outcome_, std::nullopt);
}

TaskRecord TaskRun::make_record() const {
  const TaskSettings& settings = state_->book.settings();
  TaskRecord record;
  record.id = random_id();
  record.principal = call_.caller->principal.id;
  record.tool = tool_->tool.name;
  record.created_ms = record.updated_ms = unix_ms();
  record.ttl_ms = settings.ttl.count();
  record.poll_ms = settings.poll_interval.count();
  record.arguments = call_.arguments;
  record.client = call_.caller->client;
  record.capabilities = call_.caller->capabilities;
  record.traceparent = call_.traceparent;
  record.inputs = call_.inputs;
  record.state = call_.state;
  return record;
}

Task<Result<json::object>> TaskRun::promote() {
  const auto self = shared_from_this();
  if (entry_) co_return task_members(*entry_->record());
  if (over_) co_return fail(ErrorCode::kInternal, "Internal error: a call that has its result cannot become a task.");
  Result<std::shared_ptr<TaskEntry>> entry = fail(ErrorCode::kUnavailable, "The server is shutting down.");
  if (!state_->stopping) entry = co_await state_->book.create(make_record());
  client_left_.reset();
  sinks_->progress = {};  // whoever listened has its answer now
  sinks_->log = {};
  if (!entry) {
    cancel();
    co_return fail(std::move(entry.error()));
  }
  auto members = task_members(*(*entry)->record());
  attach(std::move(*entry));
  if (cancel_.cancelled() && !state_->stopping) {  // the client left while the task was being written
    auto edit = [](TaskRecord& record) { return !record.ended() && (record.set_cancelled(), true); };
    (void)co_await state_->book.change(entry_, edit, TaskBook::IfDiskFails::kKeepInMemory);
  }
  // The handler was quicker than the disk: nobody waits for its outcome any more.
  if (outcome_ && !home_->runs.contains(this)) home_->group.spawn(play(self, false));
  if (!partial_.empty()) {
    partial_pending_ = true;
    schedule_partial();
  }
  co_return members;
}

void TaskRun::attach(std::shared_ptr<TaskEntry> entry) {
  entry_ = std::move(entry);
  sinks_->entry = entry_;
  entry_->on_change([weak = weak_from_this(), loop = &home_->loop] {
    if (auto self = weak.lock()) loop->post([self = std::move(self)] { self->on_record_changed(); });
  });
}

void TaskRun::on_record_changed() {
  if (entry_->record()->status == TaskStatus::kCancelled) cancel_.cancel();
  changed_.notify();
}

void TaskRun::cancel() {
  if (entry_) return;  // a task is cancelled by its id
  sinks_->progress = {};
  sinks_->log = {};
  cancel_.cancel();
}

void TaskRun::stop() {
  cancel_.cancel();
  changed_.notify();
}

void TaskRun::keep_partial(std::string_view text) {
  partial_ = text;
  if (!entry_) return;
  partial_pending_ = true;
  schedule_partial();
}

// At most one write in partial_interval, and the last text is always written in the end.
void TaskRun::schedule_partial() {
  if (!partial_pending_ || partial_writing_ || partial_due_.armed()) return;
  using std::chrono::milliseconds;
  milliseconds wait(0);
  if (partial_written_) {
    const auto since = std::chrono::steady_clock::now() - *partial_written_;
    wait = state_->book.settings().partial_interval - std::chrono::duration_cast<milliseconds>(since);
  }
  if (wait <= milliseconds(0)) {
    partial_writing_ = true;
    return home_->group.spawn(write_partial(shared_from_this()));
  }
  home_->loop.wheel().arm(partial_due_, wait);
}

Task<void> TaskRun::write_partial(std::shared_ptr<TaskRun> self) {
  do {
    self->partial_pending_ = false;
    co_await self->state_->book.keep_partial(self->entry_, self->partial_);
  } while (self->partial_pending_ && self->state_->stopping);
  self->partial_writing_ = false;
  self->partial_written_ = std::chrono::steady_clock::now();
  if (!self->state_->stopping) self->schedule_partial();
}

}  // namespace llm::mcp
