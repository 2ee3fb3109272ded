#include "mcp/tasks/tasks.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>
#include <utility>
#include <vector>

#include "async/event.h"
#include "mcp/tasks/task_outcome.h"
#include "mcp/tasks/task_run.h"

namespace llm::mcp {
namespace {

using Entries = std::vector<std::shared_ptr<TaskEntry>>;

std::unexpected<Error> unknown_task(std::string_view id) {
  return fail(ErrorCode::kNotFound,
              fmt::format("Unknown task: '{}'. It never was, or its time is over.", id.substr(0, 128)));
}

// For whom a task of an earlier process goes on; kPermissionDenied.
Result<access::Principal> principal_of(const TaskSettings& settings, const TaskRecord& record) {
  if (!settings.principal_now) return access::Principal{.id = record.principal};  // the local user: see decider()
  auto principal = settings.principal_now({.id = record.principal});
  if (!principal) return fail(ErrorCode::kPermissionDenied, "its caller may not do anything any more");
  return std::move(*principal);
}

struct Takeover {
  std::shared_ptr<const RegisteredTool> tool;
  access::Principal principal;
};

// What calls a task of an earlier process again; else why it cannot be.
Result<Takeover> takeover_of(const Server& server, const TaskSettings& settings, const TaskRecord& record) {
  const auto tools = server.tools().tools();
  const auto found = tools->by_name.find(record.tool);
  if (found == tools->by_name.end()) return fail(ErrorCode::kNotFound, "its tool is not there any more");
  const auto& tool = found->second;
  auto principal = principal_of(settings, record);
  if (!principal) return fail(std::move(principal.error()));
  if (!tool->tool.open_to(*principal)) {
    return fail(ErrorCode::kPermissionDenied, "its caller may not use the tool any more");
  }
  if (!tool->input.check(record.arguments)) {
    return fail(ErrorCode::kInvalidArgument, "its tool takes other arguments now");
  }
  return Takeover{tool, std::move(*principal)};
}

TaskJournal::Decide decider(const Server& server, const TaskSettings& settings) {
  return [&server, &settings](TaskRecord& record, const std::string& partial) {
    // With whose rights somebody else's task goes on is not for a process to guess.
    if (!settings.principal_now && record.principal != access::Principal().id) return false;
    const auto takeover = takeover_of(server, settings, record);
    std::string_view why;
    if (!takeover) {
      why = takeover.error().message;
    } else if (record.status == TaskStatus::kWorking && !takeover->tool->tool.resumable) {
      why = "its tool cannot go on where it was cut";
    }
    if (why.empty()) return true;  // it is called again, now or when all answers are there
    apply_cut(why, partial, record);
    record.updated_ms = std::max(unix_ms(), record.updated_ms);
    return true;
  };
}

// Calls the tools of tasks that were taken over, or waits for the answers they need. On `loop`.
Task<void> resume_all(std::shared_ptr<Tasks::State> state, Loop* loop, Entries entries) {
  for (const auto& entry : entries) {
    const auto record = entry->record();
    auto takeover = takeover_of(state->server, state->book.settings(), *record);
    if (!takeover) {  // it went between two looks
      auto edit = [why = takeover.error().message](TaskRecord& cut) { return apply_cut(why, {}, cut), true; };
      (void)co_await state->book.change(entry, edit, TaskBook::IfDiskFails::kKeepInMemory);
      continue;
    }
    ToolCall call;
    call.loop = loop;
    call.caller = std::make_shared<const Caller>(std::move(takeover->principal), record->client, record->capabilities);
    call.request_id = RequestId{json::write(json::value(record->id))};  // the request's own was answered long ago
    call.traceparent = record->traceparent;
    call.arguments = record->arguments;
    call.inputs = record->inputs;
    call.state = record->state;
    std::make_shared<TaskRun>(state, std::move(takeover->tool), std::move(call))->resume(entry);
  }
}

// Takes over what `owner` left, or everybody who is gone; the runs go to the loop of recover().
Task<void> adopt(std::shared_ptr<Tasks::State> state, std::string owner) {
  Loop* loop = state->recovery_loop;
  if (loop == nullptr || state->stopping) co_return;
  auto entries = co_await state->book.adopt(std::move(owner), decider(state->server, state->book.settings()));
  co_await boost::asio::co_spawn(loop->executor(), resume_all(state, loop, std::move(entries)), use_task);
}

Task<void> sweep_now_and_then(std::shared_ptr<Tasks::State> state, std::shared_ptr<TaskHome> home) {
  using std::chrono::milliseconds;
  const auto interval = std::clamp(state->book.settings().ttl / 4, milliseconds(1'000), milliseconds(600'000));
  Event wake(home->loop.executor());
  const CancelToken stopping = home->stopping.token();
  const auto registration = stopping.on_cancel([&wake] { wake.notify(); });
  Deadline deadline([&wake] { wake.notify(); });
  while (!stopping.cancelled()) {
    home->loop.wheel().arm(deadline, interval);
    co_await wake.wait();
    if (!stopping.cancelled()) co_await state->book.sweep();
  }
}

// On the home's loop.
Task<void> stop_home(std::shared_ptr<TaskHome> home) {
  home->stopping.cancel();
  std::vector<std::shared_ptr<TaskRun>> runs;  // a run that ends leaves the set
  for (TaskRun* run : home->runs) runs.push_back(run->shared_from_this());
  for (const auto& run : runs) run->stop();
  co_await home->group.join();
}

// A task that the book does not know: from the disk, taken over first if its process is gone.
Task<Result<TaskRecord>> load(std::shared_ptr<Tasks::State> state, std::string principal, std::string id) {
  auto record = co_await state->book.load(principal, id);
  if (!record && record.error().code == ErrorCode::kNotFound) co_return unknown_task(id);
  if (!record || record->ended() || state->book.is_mine(*record)) co_return record;
  co_await adopt(state, record->owner);
  if (const auto entry = state->book.find(principal, id)) co_return *entry->record();
  auto again = co_await state->book.load(principal, id);  // its process may just have ended it
  if (!again && again.error().code == ErrorCode::kNotFound) co_return unknown_task(id);
  co_return again;
}

// For update and cancel: the entry to change. Null: the task has ended, so nothing is to be done.
Task<Result<std::shared_ptr<TaskEntry>>> find_own(std::shared_ptr<Tasks::State> state, std::string principal,
                                                  std::string id) {
  if (auto entry = state->book.find(principal, id)) co_return entry;
  const auto record = co_await load(state, principal, id);
  if (!record) co_return fail(record.error());
  if (auto entry = state->book.find(principal, id)) co_return entry;
  if (record->ended()) co_return nullptr;
  co_return fail(ErrorCode::kConflict, "Another process of this server runs the task: ask that one.");
}

}  // namespace

Tasks::Tasks(const Server& server, TaskSettings settings)
    : state_(std::make_shared<State>(server, std::move(settings))) {}

Tasks::~Tasks() {
  state_->stopping = true;
}

std::shared_ptr<Tasks::Run> Tasks::start(std::shared_ptr<const RegisteredTool> tool, ToolCall call) {
  auto run = std::make_shared<TaskRun>(state_, std::move(tool), std::move(call));
  run->begin();
  return run;
}

Task<Result<json::object>> Tasks::get(std::string principal, std::string id) {
  const auto state = state_;
  if (const auto entry = state->book.find(principal, id)) co_return entry->describe();
  const auto record = co_await load(state, std::move(principal), std::move(id));
  if (!record) co_return fail(record.error());
  co_return detailed_task_members(*record);
}

Task<Result<void>> Tasks::update(std::string principal, std::string id, json::object responses) {
  const auto state = state_;
  for (const auto& response : responses) {
    if (response.value().is_object()) continue;
    co_return fail(ErrorCode::kInvalidArgument, "an answer must be an object.",
                   json::pointer_join("/params/inputResponses", response.key()));
  }
  auto entry = co_await find_own(state, std::move(principal), std::move(id));
  if (!entry) co_return fail(std::move(entry.error()));
  if (!*entry) co_return Result<void>{};
  auto shared = std::make_shared<json::object>(std::move(responses));  // edits are copyable; this one runs once
  co_return co_await state->book.change(
      std::move(*entry), [shared](TaskRecord& record) { return record.take_answers(*shared); },
      TaskBook::IfDiskFails::kRefuse);
}

Task<Result<void>> Tasks::cancel(std::string principal, std::string id) {
  const auto state = state_;
  auto entry = co_await find_own(state, std::move(principal), std::move(id));
  if (!entry) co_return fail(std::move(entry.error()));
  if (!*entry) co_return Result<void>{};
  co_return co_await state->book.change(
      std::move(*entry), [](TaskRecord& record) { return !record.ended() && (record.set_cancelled(), true); },
      TaskBook::IfDiskFails::kKeepInMemory);
}

Task<void> Tasks::recover(Loop& loop) {
  const auto state = state_;
  state->recovery_loop = &loop;
  const auto home = state->home(loop);
  co_await adopt(state, {});
  co_await state->book.sweep();
  if (!state->stopping) home->group.spawn(sweep_now_and_then(state, home));
}

Task<void> Tasks::stop() {
  const auto state = state_;
  state->stopping = true;
  for (const auto& home : state->all_homes()) {
    co_await boost::asio::co_spawn(home->loop.executor(), stop_home(home), use_task);
  }
}

}  // namespace llm::mcp
