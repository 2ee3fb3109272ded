#include "access/audit/audit_rows.h"

#include <algorithm>
#include <fmt/format.h>

#include "access/audit/audit_file.h"
#include "access/audit/audit_record.h"
#include "store/audit_table.h"

namespace llm::access {
namespace {

constexpr std::size_t kMostRecent = 4'096;  // lines kept in memory
constexpr std::size_t kChunk = 500;         // rows in one transaction

// A conflict of the database's own is none of the trail.
Error unavailable(Error error) {
  if (error.code == ErrorCode::kConflict) error.code = ErrorCode::kUnavailable;
  return error;
}

// The lines from `seq` on, in the files of a chain.
class ChainReader {
 public:
  static Result<ChainReader> open(const std::filesystem::path& directory, const std::string& chain, std::int64_t seq) {
    auto chains = audit_files(directory);
    if (!chains) return fail(std::move(chains.error()));
    ChainReader reader;
    reader.files_ = std::move((*chains)[chain]);
    while (reader.at_ + 1 < reader.files_.size() && reader.files_[reader.at_ + 1].first_seq <= seq) ++reader.at_;
    reader.seq_ = seq;
    return reader;
  }
  Result<std::optional<std::string>> next() {
    for (; at_ < files_.size(); ++at_, lines_.reset()) {
      if (!lines_) {
        auto opened = AuditLineReader::open(files_[at_].path);
        if (!opened) return fail(std::move(opened.error()));
        lines_.emplace(std::move(*opened));
      }
      for (;;) {
        auto line = lines_->next();
        if (!line) return fail(std::move(line.error()));
        if (!*line) break;
        const auto parts = split_line(**line);
        if (parts && parts->seq >= seq_) return std::string(**line);
      }
    }
    return std::nullopt;
  }

 private:
  std::vector<AuditFileName> files_;
  std::size_t at_ = 0;
  std::int64_t seq_ = 1;
  std::optional<AuditLineReader> lines_;
};

}  // namespace

AuditRows::AuditRows(Settings settings, store::Database& database, std::int64_t durable_seq,
                     std::function<void(const Error&)> on_problem)
    : settings_(std::move(settings)), database_(database), on_problem_(std::move(on_problem)), durable_(durable_seq) {
  thread_ = std::thread([this] { run(); });
}

AuditRows::~AuditRows() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void AuditRows::add(std::vector<std::string> lines, std::int64_t last_seq) {
  if (lines.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    const std::int64_t first = last_seq + 1 - static_cast<std::int64_t>(lines.size());
    const bool follows = recent_first_ + static_cast<std::int64_t>(recent_.size()) == first;
    if (!follows || failing_ || recent_.size() + lines.size() > kMostRecent) recent_.clear();
    if (recent_.empty()) recent_first_ = first;
    if (!failing_ && lines.size() <= kMostRecent) {
      for (auto& line : lines) recent_.push_back(std::move(line));
    }
    durable_ = last_seq;
    ++asked_;
    if (gathering_ && recent_.size() < kChunk) return;
  }
  wake_.notify_one();
}

void AuditRows::remove_older(std::int64_t than_ms) {
  {
    const std::lock_guard lock(mutex_);
    remove_than_ = than_ms;
    ++asked_;
  }
  wake_.notify_one();
}

void AuditRows::wait() {
  std::unique_lock lock(mutex_);
  const auto wanted = ++asked_;
  hurry_ = true;
  wake_.notify_one();
  tried_.wait(lock, [&] { return attempts_ >= wanted || conflict_; });
}

Result<void> AuditRows::readiness() const {
  const std::lock_guard lock(mutex_);
  if (conflict_) return fail(*conflict_);
  return {};
}

void AuditRows::run() {
  auto pause = settings_.retry;
  std::unique_lock lock(mutex_);
  for (;;) {
    // After a failure what is added does not hurry the next attempt; who waits does.
    if (failing_) {
      wake_.wait_for(lock, pause, [this] { return stopping_ || hurry_; });
    } else {
      wake_.wait(lock, [this] { return stopping_ || attempts_ < asked_; });
      if (attempts_ == asked_) return;
      // Rows of their own transactions cost three times as much; the files already have them.
      gathering_ = true;
      wake_.wait_for(lock, settings_.gather, [this] { return stopping_ || hurry_ || recent_.size() >= kChunk; });
      gathering_ = false;
    }
    const bool last = stopping_;
    const auto asked = asked_;
    const auto durable = durable_;
    const auto remove_than = std::exchange(remove_than_, 0);
    hurry_ = false;
    const bool failed = failing_;  // this thread alone changes it
    lock.unlock();
    auto done = attempt(durable, remove_than);
    const bool conflict = !done && done.error().code == ErrorCode::kConflict;
    if (!done && (!failed || conflict)) on_problem_(done.error());  // before whoever waits goes on
    lock.lock();
    attempts_ = asked;
    if (conflict) conflict_ = done.error();
    const bool failed_before = std::exchange(failing_, !done);
    if (!done) {
      if (remove_than_ == 0) remove_than_ = remove_than;
      recent_.clear();
      pause = failed_before ? std::min(pause * 2, settings_.most_retry) : settings_.retry;
    }
    tried_.notify_all();
    if (conflict || last) return;  // nothing is written over what does not fit
  }
}

Result<void> AuditRows::attempt(std::int64_t durable, std::int64_t remove_than) {
  if (!copied_) {
    if (auto fits = check(database_, settings_.directory, settings_.chain, durable); !fits) return fits;
    auto last = database_.read([&](store::Session& session) { return store::audit_last(session, settings_.chain); });
    if (!last) return fail(unavailable(std::move(last.error())));
    copied_ = *last ? (*last)->seq : 0;
  }
  std::deque<std::string> recent;
  {
    const std::lock_guard lock(mutex_);
    // What came from the files meanwhile is here, too; without this the files would be read for ever.
    for (; !recent_.empty() && recent_first_ <= *copied_; ++recent_first_) recent_.pop_front();
    if (recent_first_ == *copied_ + 1) recent.swap(recent_);
  }
  if (!recent.empty()) {
    if (auto done = copy_recent(std::move(recent)); !done) return done;
  }
  if (*copied_ < durable) {
    if (auto done = copy_from_files(durable); !done) return done;
  }
  if (remove_than == 0) return {};
  return database_.write([&](store::Session& session) { return store::remove_audit(session, remove_than); });
}

Result<void> AuditRows::copy_recent(std::deque<std::string> lines) {
  while (!lines.empty()) {
    std::vector<std::string> chunk;
    for (; !lines.empty() && chunk.size() < kChunk; lines.pop_front()) chunk.push_back(std::move(lines.front()));
    if (auto done = insert(chunk); !done) return done;
  }
  return {};
}

Result<void> AuditRows::copy_from_files(std::int64_t durable) {
  auto reader = ChainReader::open(settings_.directory, settings_.chain, *copied_ + 1);
  if (!reader) return fail(std::move(reader.error()));
  while (*copied_ < durable) {
    std::vector<std::string> chunk;
    while (chunk.size() < kChunk) {
      auto line = reader->next();
      if (!line) return fail(std::move(line.error()));
      if (!*line) break;
      const bool last = split_line(**line)->seq >= durable;
      chunk.push_back(std::move(**line));
      if (last) break;
    }
    if (chunk.empty()) return fail(ErrorCode::kConflict, "the audit trail's files end before what was written to them");
    if (auto done = insert(chunk); !done) return done;
  }
  return {};
}

Result<void> AuditRows::insert(const std::vector<std::string>& lines) {
  std::vector<store::AuditRow> rows;
  for (const auto& line : lines) {
    auto row = row_of(line);
    if (!row) return fail(std::move(row.error()));
    rows.push_back(std::move(*row));
  }
  auto done = database_.write([&](store::Session& session) { return store::append_audit(session, rows); });
  if (!done) {
    copied_.reset();  // it may have arrived all the same
    return fail(unavailable(std::move(done.error())));
  }
  copied_ = rows.back().seq;
  return {};
}

Result<void> AuditRows::check(store::Database& database, const std::filesystem::path& directory,
                              const std::string& chain, std::int64_t durable_seq) {
  auto last = database.read([&](store::Session& session) { return store::audit_last(session, chain); });
  if (!last) return fail(unavailable(std::move(last.error())));
  if (!*last) return {};
  const store::AuditRow& row = **last;
  const auto conflict = [&](std::string_view why) {
    return fail(ErrorCode::kConflict,
                fmt::format("the audit trail was changed: chain {}: {}. Run \"llm-mcp audit verify\"; "
                            "to begin a new trail, move the files of this chain to another place",
                            chain, why));
  };
  if (row.seq > durable_seq) {
    return conflict(fmt::format("its files end with record {}, and the database has record {}", durable_seq, row.seq));
  }
  auto reader = ChainReader::open(directory, chain, row.seq);
  if (!reader) return fail(std::move(reader.error()));
  auto line = reader->next();
  if (!line) return fail(std::move(line.error()));
  if (!*line) return conflict(fmt::format("record {} is not in its files", row.seq));
  const auto parts = split_line(**line);
  // Files before a certain age may be gone; then what follows is newer than the row.
  if (parts->seq == row.seq && parts->hash != row.hash) {
    return conflict(fmt::format("record {} in its files is not the one in the database", row.seq));
  }
  return {};
}

}  // namespace llm::access
