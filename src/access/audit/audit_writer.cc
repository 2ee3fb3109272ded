#include "access/audit/audit_writer.h"

#include <algorithm>
#include <fmt/format.h>

namespace llm::access {
namespace {

constexpr std::size_t kMostBatch = 1'024;  // events in one write
constexpr std::int64_t kDayMs = 86'400'000;

std::int64_t system_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Result<std::unique_ptr<AuditLog>> AuditLog::open(AuditSettings settings, store::Database* database,
                                                 std::function<void(const Error&)> on_problem) {
  return open_audit_log(std::move(settings), database, std::move(on_problem), {});
}

Result<std::unique_ptr<AuditLog>> open_audit_log(AuditSettings settings, store::Database* database,
                                                 std::function<void(const Error&)> on_problem, AuditTuning tuning) {
  if (!tuning.now_ms) tuning.now_ms = system_ms;
  if (!on_problem) on_problem = [](const Error&) {};
  auto chain = AuditChain::open(settings.directory, settings.rotate_bytes, *tuning.disk, tuning.now_ms());
  if (!chain) return fail(std::move(chain.error()));
  if (database) {
    auto fits = AuditRows::check(*database, settings.directory, chain->id(), chain->last_seq());
    if (!fits && fits.error().code == ErrorCode::kConflict) return fail(std::move(fits.error()));
  }
  return std::make_unique<AuditWriter>(std::move(settings), std::move(tuning), std::move(*chain), database,
                                       std::move(on_problem));
}

AuditWriter::AuditWriter(AuditSettings settings, AuditTuning tuning, AuditChain chain, store::Database* database,
                         std::function<void(const Error&)> on_problem)
    : settings_(std::move(settings)),
      tuning_(std::move(tuning)),
      on_problem_(std::move(on_problem)),
      chain_(std::move(chain)) {
  if (database) {
    rows_ = std::make_unique<AuditRows>(
        AuditRows::Settings{.directory = settings_.directory, .chain = chain_.id(), .retry = tuning_.rows_retry},
        *database, chain_.last_seq(), on_problem_);
  }
  thread_ = std::thread([this] { run(); });
}

AuditWriter::~AuditWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void AuditWriter::record(AuditEvent event) {
  if (event.time == 0) event.time = tuning_.now_ms();
  std::unique_lock lock(mutex_);
  const auto has_place = [this] { return queue_.size() + writing_ < settings_.queue_limit; };
  if (!has_place() && !space_.wait_for(lock, tuning_.full_wait, has_place)) {
    if (++missing_.lost > 1) return;  // the line that is written later counts them
    return report(lock, Error{ErrorCode::kUnavailable,
                              fmt::format("the audit trail: {} events wait for the disk, and one more was lost",
                                          settings_.queue_limit),
                              {},
                              {},
                              0});
  }
  queue_.push_back({.event = std::move(event), .waiter = nullptr});
  const bool idle = idle_;
  lock.unlock();
  if (idle) wake_.notify_one();
}

Result<void> AuditWriter::enqueue_and_wait(std::optional<AuditEvent> event) {
  Waiter waiter;
  std::unique_lock lock(mutex_);
  queue_.push_back({.event = std::move(event), .waiter = &waiter});
  ++waiters_;
  wake_.notify_one();
  done_.wait(lock, [&] { return waiter.done; });
  return std::move(waiter.result);
}

Result<void> AuditWriter::commit(AuditEvent event) {
  if (event.time == 0) event.time = tuning_.now_ms();
  return enqueue_and_wait(std::move(event));
}

Result<void> AuditWriter::flush() {
  auto written = enqueue_and_wait(std::nullopt);
  if (rows_) rows_->wait();
  return written;
}

Result<void> AuditWriter::readiness() const {
  {
    const std::lock_guard lock(mutex_);
    if (failure_) return fail(*failure_);
    if (missing_.lost > 0) {
      return fail(ErrorCode::kUnavailable,
                  fmt::format("the audit trail: {} events could not be written", missing_.lost));
    }
  }
  return rows_ ? rows_->readiness() : Result<void>();
}

void AuditWriter::report(std::unique_lock<std::mutex>& lock, const Error& error) {
  lock.unlock();
  on_problem_(error);
  lock.lock();
}

void AuditWriter::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    apply_retention(lock);
    idle_ = true;
    if (failure_) {
      wake_.wait_for(lock, tuning_.retry, [this] { return stopping_ || waiters_ > 0; });
    } else {
      wake_.wait_for(lock, tuning_.retention_every, [this] { return stopping_ || !queue_.empty() || missing_.any(); });
    }
    idle_ = false;
    const bool last = stopping_;
    while (!queue_.empty() || missing_.any()) {
      write_batch(lock);
      if (failure_) break;
    }
    if (last && (queue_.empty() || failure_)) break;
  }
  if (!queue_.empty()) {
    report(lock,
           Error{ErrorCode::kIo,
                 fmt::format("the audit trail: {} events were lost, since the disk did not take them before the end",
                             queue_.size()),
                 {},
                 {},
                 0});
  }
}

void AuditWriter::write_batch(std::unique_lock<std::mutex>& lock) {
  std::vector<Entry> batch;
  while (!queue_.empty() && batch.size() < kMostBatch) {
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  writing_ = batch.size();
  const Missing missing = missing_;
  const bool failed_before = failure_.has_value();
  lock.unlock();

  AuditEvent gap;
  std::vector<const AuditEvent*> events;
  if (missing.any()) {
    gap.action = kLostAction;
    gap.outcome = "error";
    gap.message = fmt::format("{} events were lost and {} actions refused, since the disk did not take their records",
                              missing.lost, missing.refused);
    gap.after = json::object{{"lost", missing.lost}, {"refused", missing.refused}};
    events.push_back(&gap);
  }
  for (const Entry& entry : batch) {
    if (entry.event) events.push_back(&*entry.event);
  }
  Result<std::vector<std::string>> lines;
  if (!events.empty()) lines = chain_.append(events, tuning_.now_ms());
  if (lines && rows_) rows_->add(*lines, chain_.last_seq());

  if (!lines && !failed_before) on_problem_(lines.error());

  lock.lock();
  settle_batch(batch, lines, missing);
  failure_ = lines ? std::nullopt : std::optional(lines.error());
  space_.notify_all();
  done_.notify_all();
}

// Who waits is told; what nobody waits for stays in the queue until the disk takes it.
void AuditWriter::settle_batch(std::vector<Entry>& batch, const Result<std::vector<std::string>>& lines,
                               const Missing& written) {
  writing_ = 0;
  if (lines) {
    missing_.lost -= written.lost;
    missing_.refused -= written.refused;
  }
  std::deque<Entry> kept;
  for (Entry& entry : batch) {
    if (entry.waiter) {
      --waiters_;
      entry.waiter->done = true;
      if (lines) continue;
      entry.waiter->result = fail(lines.error());
      if (entry.event) ++missing_.refused;
    } else if (!lines) {
      kept.push_back(std::move(entry));
    }
  }
  queue_.insert(queue_.begin(), std::make_move_iterator(kept.begin()), std::make_move_iterator(kept.end()));
}

void AuditWriter::apply_retention(std::unique_lock<std::mutex>& lock) {
  const auto now = std::chrono::steady_clock::now();
  if (settings_.retention_days <= 0 || now < next_retention_ || stopping_) return;
  next_retention_ = now + tuning_.retention_every;
  lock.unlock();
  const std::int64_t now_ms = tuning_.now_ms();
  const std::int64_t cutoff = now_ms - settings_.retention_days * kDayMs;
  std::vector<std::string> lines;
  if (auto removed = chain_.remove_older(cutoff, now_ms, lines); !removed) on_problem_(removed.error());
  if (rows_) {
    rows_->add(std::move(lines), chain_.last_seq());
    rows_->remove_older(cutoff);
  }
  lock.lock();
}

}  // namespace llm::access
