#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "access/audit/audit_chain.h"
#include "access/audit/audit_log.h"
#include "access/audit/audit_rows.h"

namespace llm::access {

// What only tests change.
struct AuditTuning {
  AuditDisk* disk = &real_audit_disk();
  std::function<std::int64_t()> now_ms = {};    // null: the system's clock
  std::chrono::milliseconds full_wait{1'000};   // of record(), for a place in the queue
  std::chrono::milliseconds retry{1'000};       // of the disk, after a failure
  std::chrono::milliseconds rows_retry{1'000};  // of the database
  std::chrono::milliseconds retention_every{3'600'000};
};
Result<std::unique_ptr<AuditLog>> open_audit_log(AuditSettings settings, store::Database* database,
                                                 std::function<void(const Error&)> on_problem, AuditTuning tuning);

// The AuditLog: a queue and the thread that writes what is in it.
class AuditWriter final : public AuditLog {
 public:
  AuditWriter(AuditSettings settings, AuditTuning tuning, AuditChain chain, store::Database* database,
              std::function<void(const Error&)> on_problem);
  ~AuditWriter() override;

  void record(AuditEvent event) override;
  Result<void> commit(AuditEvent event) override;
  Result<void> flush() override;
  Result<void> readiness() const override;

 private:
  // Somebody who waits, on that thread's stack.
  struct Waiter {
    bool done = false;
    Result<void> result = {};
  };
  struct Entry {
    std::optional<AuditEvent> event;  // nothing: a mark of flush()
    Waiter* waiter = nullptr;         // null: of record()
  };

  // What no line stands for, since the last line that says so.
  struct Missing {
    std::size_t lost = 0;     // events of record()
    std::size_t refused = 0;  // of commit(), whose callers know
    bool any() const { return lost + refused > 0; }
  };

  Result<void> enqueue_and_wait(std::optional<AuditEvent> event);
  void run();
  void write_batch(std::unique_lock<std::mutex>& lock);
  void settle_batch(std::vector<Entry>& batch, const Result<std::vector<std::string>>& lines, const Missing& written);
  void apply_retention(std::unique_lock<std::mutex>& lock);
  void report(std::unique_lock<std::mutex>& lock, const Error& error);

  AuditSettings settings_;
  AuditTuning tuning_;
  std::function<void(const Error&)> on_problem_;
  AuditChain chain_;                 // of the thread alone
  std::unique_ptr<AuditRows> rows_;  // null: no database

  mutable std::mutex mutex_;
  std::condition_variable wake_;   // the thread
  std::condition_variable space_;  // who waits for a place in the queue
  std::condition_variable done_;   // who waits for the disk
  std::deque<Entry> queue_;
  std::size_t writing_ = 0;  // entries out of the queue and not yet on the disk
  std::size_t waiters_ = 0;  // entries that somebody waits for: they hurry a retry
  Missing missing_;
  std::optional<Error> failure_;  // of the last attempt to write
  bool idle_ = false;
  bool stopping_ = false;
  std::chrono::steady_clock::time_point next_retention_{};
  std::thread thread_;
};

}  // namespace llm::access
