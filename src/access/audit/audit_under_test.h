#pragma once

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "access/audit/audit_chain.h"
#include "access/audit/audit_writer.h"
#include "base/random.h"
#include "store/audit_table.h"
#include "store/temporary_sqlite.h"

namespace llm::access::testing {

inline std::string read_whole(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream out;
  out << file.rdbuf();
  return std::move(out).str();
}
inline void write_whole(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
}
inline std::vector<std::string> lines_of(const std::filesystem::path& path) {
  std::vector<std::string> lines;
  std::istringstream in(read_whole(path));
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// Calls fail from the `fail_at`-th on (from 1; 0: none), `failures` of them; a write that fails has written half.
class FailingDisk final : public AuditDisk {
 public:
  std::atomic<int> fail_at = 0;
  std::atomic<int> failures = 1;
  std::atomic<int> error_number = ENOSPC;
  std::atomic<int> calls = 0;

  int create(const char* path) override { return fails() ? -1 : AuditDisk::create(path); }
  ssize_t write(int fd, const void* data, std::size_t size) override {
    if (!fails()) return AuditDisk::write(fd, data, size);
    const int error = errno;
    (void)AuditDisk::write(fd, data, size / 2);
    errno = error;
    return -1;
  }
  int sync(int fd) override { return fails() ? -1 : AuditDisk::sync(fd); }
  int truncate(int fd, off_t size) override { return fails() ? -1 : AuditDisk::truncate(fd, size); }
  int remove(const char* path) override { return fails() ? -1 : AuditDisk::remove(path); }

 private:
  bool fails() {
    const int call = ++calls;
    if (fail_at == 0 || call < fail_at || call >= fail_at + failures) return false;
    errno = error_number;
    return true;
  }
};

// Writes wait while the gate is shut.
class GatedDisk final : public AuditDisk {
 public:
  void shut() { set(false); }
  void open() { set(true); }
  void wait_until_somebody_waits() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_; });
  }
  ssize_t write(int fd, const void* data, std::size_t size) override {
    {
      std::unique_lock lock(mutex_);
      waiting_ = !open_;
      changed_.notify_all();
      changed_.wait(lock, [this] { return open_; });
      waiting_ = false;
    }
    return AuditDisk::write(fd, data, size);
  }

 private:
  void set(bool open) {
    const std::lock_guard lock(mutex_);
    open_ = open;
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
  bool waiting_ = false;
};

// A real database that can be out of reach.
class UnsteadyDatabase final : public store::Database {
 public:
  explicit UnsteadyDatabase(std::unique_ptr<store::Database> database) : database_(std::move(database)) {}
  std::atomic<bool> down = false;
  std::atomic<bool> many_gateways = false;
  bool shared() const override { return many_gateways; }
  std::string description() const override { return database_->description(); }

 protected:
  Result<void> run_transaction(const std::function<Result<void>(store::Session&)>& work, bool writes) override {
    if (down) return fail(ErrorCode::kUnavailable, "the database is out of reach");
    if (writes) return database_->write([&](store::Session& session) { return work(session); });
    return database_->read([&](store::Session& session) { return work(session); });
  }

 private:
  std::unique_ptr<store::Database> database_;
};

class AuditTest : public ::testing::Test {
 protected:
  std::unique_ptr<AuditLog> open_log(store::Database* database = nullptr) {
    auto log = try_open(database);
    if (!log) throw std::runtime_error(to_string(log.error()));
    return std::move(*log);
  }
  Result<std::unique_ptr<AuditLog>> try_open(store::Database* database = nullptr) {
    tuning.rows_retry = std::chrono::milliseconds(1);
    return open_audit_log(
        settings, database,
        [this](const Error& error) {
          const std::lock_guard lock(problems_mutex);
          problems.push_back(error);
        },
        tuning);
  }
  static AuditEvent event(std::string action, std::string target = "t") {
    AuditEvent event;
    event.principal = "key:k1";
    event.project = "p1";
    event.action = std::move(action);
    event.target = std::move(target);
    event.address = "192.0.2.7";
    event.outcome = "ok";
    return event;
  }
  // Names and contents of all audit files, in order.
  std::vector<std::filesystem::path> files() const {
    std::vector<std::filesystem::path> out;
    for (const auto& [chain, names] : *audit_files(settings.directory)) {
      for (const auto& name : names) out.push_back(name.path);
    }
    return out;
  }
  std::vector<std::string> lines() const {
    std::vector<std::string> out;
    for (const auto& file : files()) {
      for (auto& line : lines_of(file)) out.push_back(std::move(line));
    }
    return out;
  }
  // The targets of the lines with this action.
  std::vector<std::string> targets(std::string_view action) const {
    std::vector<std::string> out;
    for (const auto& line : lines()) {
      const auto row = row_of(line);
      if (row && row->action == action) out.push_back(row->target);
    }
    return out;
  }
  json::object verified(store::Database* database = nullptr) const {
    auto result = verify_audit(settings.directory, database);
    EXPECT_TRUE(result) << (result ? "" : to_string(result.error()));
    return result ? *result : json::object();
  }
  std::size_t problem_count() {
    const std::lock_guard lock(problems_mutex);
    return problems.size();
  }

  store::TemporarySqlite folder;
  AuditSettings settings{.directory = folder.folder() / "audit"};
  AuditTuning tuning;
  std::mutex problems_mutex;
  std::vector<Error> problems;
};

}  // namespace llm::access::testing
