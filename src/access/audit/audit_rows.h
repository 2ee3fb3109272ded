#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "store/database.h"

namespace llm::access {

// Copies the lines of one chain into the table, on a thread of its own: what waits for the files never waits for the
// database. While that is away nothing is kept in memory for it; afterwards the files say what is missing.
class AuditRows {
 public:
  struct Settings {
    std::filesystem::path directory;
    std::string chain;
    std::chrono::milliseconds retry{1'000};  // after a failure, doubled up to `most_retry`
    std::chrono::milliseconds most_retry{30'000};
    std::chrono::milliseconds gather{200};  // nobody waits: what comes within it goes in one transaction
  };
  // `durable_seq`: the last line of the files now.
  AuditRows(Settings settings, store::Database& database, std::int64_t durable_seq,
            std::function<void(const Error&)> on_problem);
  ~AuditRows();  // tries once more
  AuditRows(const AuditRows&) = delete;
  AuditRows& operator=(const AuditRows&) = delete;

  // Any thread. Lines of the chain up to this one, now on stable storage.
  void add(std::vector<std::string> lines, std::int64_t last_seq);
  void remove_older(std::int64_t than_ms);
  // Until what was added so far is in the table, or one attempt has failed. Blocks.
  void wait();
  Result<void> readiness() const;  // kConflict: the table does not fit the files

  // Is the end of the table a line of the files? kConflict; any other error: the database could not be asked.
  static Result<void> check(store::Database& database, const std::filesystem::path& directory, const std::string& chain,
                            std::int64_t durable_seq);

 private:
  void run();
  Result<void> attempt(std::int64_t durable, std::int64_t remove_than);
  Result<void> copy_recent(std::deque<std::string> lines);
  Result<void> copy_from_files(std::int64_t durable);
  Result<void> insert(const std::vector<std::string>& lines);

  Settings settings_;
  store::Database& database_;
  std::function<void(const Error&)> on_problem_;
  std::optional<std::int64_t> copied_;  // of the thread alone: the last row; nothing: not known

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable tried_;
  std::deque<std::string> recent_;  // lines from recent_first_ to durable_, or none if they are too many
  std::int64_t recent_first_ = 0;
  std::int64_t durable_ = 0;
  std::int64_t remove_than_ = 0;  // 0: nothing to remove
  std::uint64_t asked_ = 1;       // grows with what is added; attempts_ is its value at the last attempt
  std::uint64_t attempts_ = 0;
  bool failing_ = false;
  bool hurry_ = false;  // somebody waits
  bool gathering_ = false;
  bool stopping_ = false;
  std::optional<Error> conflict_;
  std::thread thread_;
};

}  // namespace llm::access
