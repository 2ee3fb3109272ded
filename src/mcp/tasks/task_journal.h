#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "mcp/tasks/durable_file.h"
#include "mcp/tasks/task_record.h"

namespace llm::mcp {

// What a principal is told that has as many tasks as one may have.
Error too_many_tasks(std::size_t max_tasks);

// Tasks in a directory, one file each; several processes may share it:
//
//   owners/<owner>       one per process that uses it, locked as long as that lives; the records name it
//   <principal>/         a hash, so that one principal's ids lead nowhere under another
//     <id>.json          the record
//     <id>.partial       what the call has so far
//     <id>.json.corrupt  set aside: nobody could read it
//
// Files are replaced in one step and flushed (file, then directory) before a write counts; a failed one leaves the old
// file. Only a task's owner writes it; once an owner's lock is free, whoever gets it may take the tasks over.
// Directories are 0700, files 0600. Everything blocks and is thread-safe, but writes of one task must not overlap.
class TaskJournal {
 public:
  // `on_problem` is told what went wrong where nobody waits for a result; any thread.
  explicit TaskJournal(std::filesystem::path directory, std::function<void(const Error&)> on_problem = {},
                       DiskCalls& disk = real_disk_calls());
  ~TaskJournal();  // gives up what it owns
  TaskJournal(const TaskJournal&) = delete;
  TaskJournal& operator=(const TaskJournal&) = delete;

  // A new task; becomes its owner. kRateLimited if its principal has `max_tasks` already.
  Result<void> create(TaskRecord& record, std::size_t max_tasks);
  // Replaces a record. One that has ended loses its partial text.
  Result<void> save(const TaskRecord& record);
  Result<void> save_partial(const TaskRecord& record, std::string_view text);

  // kNotFound: no such task, or another principal's, or over its time, or unreadable (then it is set aside).
  Result<TaskRecord> load(std::string_view principal, std::string_view id);
  bool is_mine(const TaskRecord& record) const { return record.owner == owner_; }

  // Takes over the unfinished tasks of owners that are gone. `decide` may change each before it is written under the
  // new owner's name, and is given its partial text; false: left to somebody else. What cannot be written stays as it
  // was, for the next try.
  using Decide = std::function<bool(TaskRecord& record, const std::string& partial)>;
  std::vector<TaskRecord> adopt(const Decide& decide);
  // The same for one owner.
  std::vector<TaskRecord> adopt(const std::string& owner, const Decide& decide);

  // Removes what has ended and is over its time.
  void sweep(std::int64_t now_ms);

 private:
  Result<void> open();
  std::filesystem::path folder_of(std::string_view principal) const;
  std::filesystem::path file_of(const TaskRecord& record) const;
  std::filesystem::path owner_file(const std::string& owner) const;
  Result<void> write(const std::filesystem::path& path, std::string_view text);
  Result<TaskRecord> read(const std::filesystem::path& path);
  void sweep_folder(const std::filesystem::path& folder, std::int64_t now_ms);
  void clear_temporaries_of(const std::string& owner);
  std::vector<TaskRecord> unfinished();
  void report(const Error& error) const {
    if (on_problem_) on_problem_(error);
  }

  const std::filesystem::path directory_;
  const std::function<void(const Error&)> on_problem_;
  DiskCalls& disk_;
  const std::string owner_;
  std::mutex opening_;
  std::mutex counting_;
  std::mutex adopting_;
  OwnerLock lock_;
  std::atomic<std::uint64_t> next_temporary_ = 0;
};

}  // namespace llm::mcp
