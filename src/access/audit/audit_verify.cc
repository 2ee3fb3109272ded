#include <algorithm>
#include <fmt/format.h>
#include <optional>

#include "access/audit/audit_file.h"
#include "access/audit/audit_log.h"
#include "access/audit/audit_record.h"
#include "store/audit_table.h"

namespace llm::access {
namespace {

constexpr std::int64_t kRowsAtOnce = 1'000;

struct Place {
  std::filesystem::path file;
  std::int64_t line = 0;
};

std::unexpected<Error> changed(const Place& place, std::string_view why) {
  const std::string name = place.file.filename().string();
  Error error{ErrorCode::kConflict,
              fmt::format("the audit trail was changed: {}, line {}: {}", name, place.line, why),
              {},
              {},
              0};
  return fail(std::move(error).with("file", name).with("line", place.line));
}

// The rows of a chain, in order, up to the one that was the last when the reading of the files began.
class Rows {
 public:
  Rows(store::Database* database, std::string chain) : database_(database), chain_(std::move(chain)) {}

  Result<void> begin() {
    if (!database_) return {};
    auto last = database_->read([&](store::Session& session) { return store::audit_last(session, chain_); });
    if (!last) return fail(std::move(last.error()));
    if (*last) last_ = (*last)->seq;
    return advance();
  }
  const store::AuditRow* current() const { return at_ < rows_.size() ? &rows_[at_] : nullptr; }
  std::int64_t first() const { return first_; }
  std::int64_t last() const { return last_; }
  Result<void> next() {
    after_ = rows_[at_].seq;
    if (++at_ < rows_.size()) return {};
    return advance();
  }

 private:
  Result<void> advance() {
    rows_.clear();
    at_ = 0;
    if (after_ >= last_) return {};
    auto rows = database_->read(
        [&](store::Session& session) { return store::audit_chain(session, chain_, after_, kRowsAtOnce); });
    if (!rows) return fail(std::move(rows.error()));
    rows_ = std::move(*rows);
    std::erase_if(rows_, [this](const store::AuditRow& row) { return row.seq > last_; });
    if (first_ == 0 && !rows_.empty()) first_ = rows_.front().seq;
    return {};
  }

  store::Database* database_;
  std::string chain_;
  std::vector<store::AuditRow> rows_;
  std::size_t at_ = 0;
  std::int64_t after_ = 0;
  std::int64_t first_ = 0;
  std::int64_t last_ = 0;
};

// Reads one chain from its first line to its last.
class ChainVerifier {
 public:
  ChainVerifier(std::string chain, Rows& rows) : chain_(std::move(chain)), rows_(rows) {}

  Result<void> file(const AuditFileName& name, bool first, bool last) {
    Place place{name.path, 1};
    if (first) {
      seq_ = name.first_seq - 1;
      if (seq_ == 0) hash_ = genesis_hash();
      begin_ = place;
    } else if (name.first_seq != seq_ + 1) {
      return changed(
          place,
          fmt::format("the file should begin with record {}: a file before it is missing, or lines of it", seq_ + 1));
    }
    auto reader = AuditLineReader::open(name.path);
    if (!reader) return fail(std::move(reader.error()));
    for (;;) {
      auto next = reader->next();
      if (!next) return fail(std::move(next.error()));
      if (!*next) break;
      place.line = reader->line();
      if (auto right = line(**next, place); !right) return right;
    }
    place.line = reader->line() + 1;
    if (reader->unfinished() > 0 && !last) return changed(place, "the file ends within a line");
    if (!last && reader->line() == 0) return changed(place, "the file is empty");
    unfinished_ = reader->unfinished();
    end_ = place;
    ++files_;
    return {};
  }

  Result<json::object> end() {
    if (hash_.empty()) return changed(end_, "the chain has no lines");
    if (before_ > 0 && !removal_proved_) {
      return changed(begin_,
                     fmt::format("the files begin with record {}, and no line says that those before it were removed",
                                 before_ + 1));
    }
    if (const auto* row = rows_.current()) {
      return changed(end_, fmt::format("the files end with record {}, and the database has record {}", seq_, row->seq));
    }
    json::object out{{"chain", chain_}, {"records", records_}, {"first", before_ + 1},
                     {"last", seq_},    {"last_hash", hash_},  {"files", files_}};
    if (unfinished_ > 0) out["unfinished_bytes"] = unfinished_;
    if (rows_.last() > 0) {
      if (rows_.first() > before_ + 1) out["rows_first"] = rows_.first();
      if (rows_.last() < seq_) out["rows_behind"] = seq_ - rows_.last();
    }
    return out;
  }

 private:
  Result<void> line(std::string_view text, const Place& place) {
    const auto parts = split_line(text);
    if (!parts) return changed(place, "this is no line of an audit trail");
    if (hash_.empty()) {
      // The oldest file that is left. What its first line follows must be what a later line says was removed.
      before_ = seq_;
      before_hash_ = parts->prev;
      hash_ = parts->prev;
    }
    if (parts->seq != seq_ + 1) return changed(place, fmt::format("record {} follows record {}", parts->seq, seq_));
    if (parts->prev != hash_) {
      return changed(place, fmt::format("record {} does not follow the record before it: its \"prev\" is another hash",
                                        parts->seq));
    }
    if (!hash_fits(*parts))
      return changed(place, fmt::format("record {} does not have the hash that it says", parts->seq));
    auto row = row_of(text);
    if (!row) return changed(place, row.error().message);
    if (row->chain != chain_) return changed(place, "the record is one of another chain");
    if (const auto removed = removed_by(text); removed && removed->seq == before_ && removed->hash == before_hash_) {
      removal_proved_ = true;
    }
    seq_ = parts->seq;
    hash_ = parts->hash;
    ++records_;
    return compare(*row, place);
  }

  Result<void> compare(const store::AuditRow& record, const Place& place) {
    // Rows older than the files: what the files of that time said cannot be known any more.
    while (rows_.current() && rows_.current()->seq < record.seq && records_ == 1) {
      if (auto next = rows_.next(); !next) return next;
    }
    const auto* row = rows_.current();
    if (rows_.last() == 0 || record.seq > rows_.last() || record.seq < rows_.first()) return {};
    if (!row || row->seq != record.seq) return changed(place, fmt::format("the database lacks record {}", record.seq));
    if (*row != record) return changed(place, fmt::format("the database has another record {}", record.seq));
    return rows_.next();
  }

  std::string chain_;
  Rows& rows_;
  std::string hash_;
  std::string before_hash_;
  std::int64_t before_ = 0;  // records that were removed
  std::int64_t seq_ = 0;
  std::int64_t records_ = 0;
  std::int64_t files_ = 0;
  std::uint64_t unfinished_ = 0;
  bool removal_proved_ = false;
  Place begin_;
  Place end_;
};

Result<json::object> verify_chain(const std::string& chain, const std::vector<AuditFileName>& files, Rows& rows) {
  ChainVerifier verifier(chain, rows);
  for (const AuditFileName& file : files) {
    if (auto right = verifier.file(file, &file == &files.front(), &file == &files.back()); !right) {
      return fail(std::move(right.error()));
    }
  }
  return verifier.end();
}

// Of gateways on other machines, whose files are there: the rows alone, each against the one before.
Result<json::object> verify_rows(const std::string& chain, Rows& rows) {
  std::string hash;
  std::int64_t seq = rows.first() - 1;
  std::int64_t records = 0;
  while (const auto* row = rows.current()) {
    auto record = row_of(row->record);
    const auto parts = split_line(row->record);
    if (!record || *record != *row || row->chain != chain || !hash_fits(*parts) || row->seq != seq + 1 ||
        (!hash.empty() && parts->prev != hash)) {
      return fail(ErrorCode::kConflict,
                  fmt::format("the audit trail was changed: chain {}: the database's record {} does "
                              "not fit what is before it",
                              chain, row->seq));
    }
    hash = row->hash;
    seq = row->seq;
    ++records;
    if (auto next = rows.next(); !next) return fail(std::move(next.error()));
  }
  return json::object{{"chain", chain}, {"records", records}, {"first", rows.first()},
                      {"last", seq},    {"last_hash", hash},  {"files", 0}};
}

}  // namespace

Result<json::object> verify_audit(const std::filesystem::path& directory, store::Database* database) {
  // Rows are written after their lines: with the table's end known first, a gateway at work does no harm.
  std::map<std::string, Rows> rows;
  if (database) {
    auto chains = database->read([](store::Session& session) { return store::audit_chains(session); });
    if (!chains) return fail(std::move(chains.error()));
    for (const auto& chain : *chains) {
      auto& one = rows.try_emplace(chain, database, chain).first->second;
      if (auto begun = one.begin(); !begun) return fail(std::move(begun.error()));
    }
  }
  auto files = audit_files(directory);
  if (!files) return fail(std::move(files.error()));
  json::array chains;
  for (const auto& [chain, names] : *files) {
    auto& of_chain = rows.try_emplace(chain, nullptr, chain).first->second;
    auto verified = verify_chain(chain, names, of_chain);
    if (!verified) return fail(std::move(verified.error()));
    chains.push_back(std::move(*verified));
  }
  for (auto& [chain, of_chain] : rows) {
    if (files->contains(chain)) continue;
    if (!database->shared()) {
      return fail(ErrorCode::kConflict,
                  fmt::format("the audit trail was changed: chain {} has records in the database and no file in {}",
                              chain, directory.string()));
    }
    auto verified = verify_rows(chain, of_chain);
    if (!verified) return fail(std::move(verified.error()));
    chains.push_back(std::move(*verified));
  }
  return json::object{{"chains", std::move(chains)}, {"ok", true}};
}

}  // namespace llm::access
