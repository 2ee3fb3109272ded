#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "async/blocking_pool.h"
#include "async/task.h"
#include "base/error.h"
#include "mcp/server.h"
#include "mcp/tasks/task_journal.h"
#include "mcp/tasks/task_record.h"
#include "mcp/tasks/tasks.h"

namespace llm::mcp {

// A task of this process, as long as it is unfinished or its end is not on disk. Thread-safe.
class TaskEntry {
 public:
  explicit TaskEntry(TaskRecord record) : record_(std::make_shared<const TaskRecord>(std::move(record))) {}

  // As others may see it: on disk already, or the disk failed.
  std::shared_ptr<const TaskRecord> record() const {
    const std::lock_guard guard(mutex_);
    return record_;
  }
  // The members for tasks/get.
  json::object describe() const;
  // What a call says about its progress; neither kept nor announced.
  void set_progress(std::string_view message);
  // Called after each change of the record, on any thread. An empty one ends that.
  void on_change(std::function<void()> listener) {
    const std::lock_guard guard(mutex_);
    listener_ = std::move(listener);
  }

 private:
  friend class TaskBook;
  void publish(TaskRecord record);

  std::mutex changing_;   // held while a change is written: changes come one after another
  bool unsaved_ = false;  // under changing_
  mutable std::mutex mutex_;
  std::shared_ptr<const TaskRecord> record_;  // shared with readers
  std::string progress_;
  std::function<void()> listener_;
};

// The tasks of this process and where they are kept: changes records, on disk first, and announces it. Thread-safe;
// what waits for the disk does so on threads of its own.
class TaskBook {
 public:
  using Edit = std::function<bool(TaskRecord&)>;  // false: leave it
  enum class IfDiskFails { kRefuse, kKeepInMemory };

  TaskBook(const Changes& changes, TaskSettings settings);

  const TaskSettings& settings() const { return settings_; }

  Task<Result<std::shared_ptr<TaskEntry>>> create(TaskRecord record);
  // Null: not one of this process's unfinished tasks, or another principal's.
  std::shared_ptr<TaskEntry> find(std::string_view principal, std::string_view id) const;
  // A task that `find` does not know; kNotFound.
  Task<Result<TaskRecord>> load(std::string principal, std::string id);
  bool is_mine(const TaskRecord& record) const { return !journal_ || journal_->is_mine(record); }

  Task<Result<void>> change(std::shared_ptr<TaskEntry> entry, Edit edit, IfDiskFails otherwise);
  Task<void> keep_partial(std::shared_ptr<TaskEntry> entry, std::string text);

  // See TaskJournal::adopt; an empty `owner` means all. Those that are unfinished after `decide`.
  Task<std::vector<std::shared_ptr<TaskEntry>>> adopt(std::string owner, TaskJournal::Decide decide);
  // Forgets what is over its time, and tries again to save what could not be saved.
  Task<void> sweep();

 private:
  // Runs `work` where it may block; at once if nothing can.
  template <class F>
  Task<std::invoke_result_t<F>> blocking(F work) {
    if (!pool_) co_return work();
    co_return co_await pool_->run(std::move(work));
  }
  Result<std::shared_ptr<TaskEntry>> create_now(TaskRecord record);
  Result<void> change_now(TaskEntry& entry, const Edit& edit, IfDiskFails otherwise);
  std::vector<std::shared_ptr<TaskEntry>> adopt_now(const std::string& owner, const TaskJournal::Decide& decide);
  void sweep_now();
  Result<void> reserve_in_memory(const TaskRecord& record);
  void add(const std::shared_ptr<TaskEntry>& entry);
  void announce(const TaskRecord& record) const;

  const Changes& changes_;
  const TaskSettings settings_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<TaskEntry>, std::less<>> entries_;  // by id; shared with their runs
  std::unique_ptr<TaskJournal> journal_;                                    // null: in memory only
  std::unique_ptr<BlockingPool> pool_;  // with the journal. Last: it waits for work that uses the rest
};

}  // namespace llm::mcp
