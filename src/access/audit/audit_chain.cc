#include "access/audit/audit_chain.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <ranges>

#include "base/random.h"

namespace llm::access {
namespace {

constexpr std::uint64_t kCheckedEnd =
    4U << 20;  // bytes at the end of the newest file that are checked when it is opened

std::unexpected<Error> failure(std::string_view what, const std::filesystem::path& path) {
  return fail(errno_error(errno, fmt::format("the audit trail: cannot {} {}", what, path.string())));
}

std::unexpected<Error> broken(const std::filesystem::path& path, std::string_view why) {
  return fail(
      Error{ErrorCode::kConflict,
            fmt::format("the audit trail was changed: {}: {}. Run \"llm-mcp audit verify\"; to begin a new trail, "
                        "move the files of this chain to another place",
                        path.filename().string(), why),
            {},
            {},
            0}
          .with("file", path.filename().string()));
}

Result<std::string> last_line(const std::filesystem::path& path) {
  auto reader = AuditLineReader::open(path);
  if (!reader) return fail(std::move(reader.error()));
  std::string last;
  for (;;) {
    auto line = reader->next();
    if (!line) return fail(std::move(line.error()));
    if (!*line) return last;
    last = **line;
  }
}

}  // namespace

Result<AuditChain> AuditChain::open(const std::filesystem::path& directory, std::uint64_t rotate_bytes, AuditDisk& disk,
                                    std::int64_t now_ms) {
  if (auto made = make_audit_directory(directory); !made) return fail(std::move(made.error()));
  auto chains = audit_files(directory);
  if (!chains) return fail(std::move(chains.error()));
  AuditChain chain(directory, rotate_bytes, disk);
  // Ids of chains sort by the time when they were begun.
  for (const auto& [id, files] : *chains | std::views::reverse) {
    auto lock = lock_chain(directory, id);
    if (!lock) return fail(std::move(lock.error()));
    if (!*lock) continue;
    // Another process may have written, and ended, since the files were listed.
    auto again = audit_files(directory);
    if (!again) return fail(std::move(again.error()));
    chain.id_ = id;
    chain.lock_ = std::move(**lock);
    if (auto done = chain.go_on((*again)[id]); !done) return fail(std::move(done.error()));
    if (chain.last_seq_ > 0) return chain;
    break;  // only its first file was made, and no line of it written
  }
  if (auto begun = chain.begin(now_ms); !begun) return fail(std::move(begun.error()));
  return chain;
}

Result<void> AuditChain::begin(std::int64_t now_ms) {
  if (id_.empty()) {
    id_ = unique_id();
    auto lock = lock_chain(directory_, id_);
    if (!lock) return fail(std::move(lock.error()));
    if (!*lock) return fail(ErrorCode::kConflict, "the audit trail: somebody else began this chain");
    lock_ = std::move(**lock);
  }
  AuditEvent genesis;
  genesis.action = kGenesisAction;
  genesis.outcome = "ok";
  genesis.after = json::object{{"format", 1}, {"program", LLM_MCP_VERSION}};
  auto lines = append({&genesis}, now_ms);
  if (!lines) return fail(std::move(lines.error()));
  return {};
}

Result<void> AuditChain::go_on(const std::vector<AuditFileName>& files) {
  if (files.empty()) return {};
  path_ = files.back().path;
  auto file = open_audit_file(path_, O_RDWR | O_APPEND);
  if (!file) return fail(std::move(file.error()));
  file_ = std::move(*file);
  if (auto repaired = repair_end(); !repaired) return repaired;
  return check_end(files);
}

// The newest file ends with a newline, or a crash (or a full disk) ended a write within a line. A line that lacks
// nothing but its newline may have been acknowledged where only this byte was lost, so it is kept.
Result<void> AuditChain::repair_end() {
  auto size = audit_file_size(file_.get(), path_);
  if (!size) return fail(std::move(size.error()));
  size_ = *size;
  auto reader = AuditLineReader::open(path_, *size > kMostLine ? *size - kMostLine : 0);
  if (!reader) return fail(std::move(reader.error()));
  for (;;) {
    auto line = reader->next();
    if (!line) return fail(std::move(line.error()));
    if (!*line) break;
  }
  const std::string_view rest = reader->rest();
  if (rest.empty()) return {};
  const auto parts = split_line(rest);
  if (parts && hash_fits(*parts)) {
    if (disk_->write(file_.get(), "\n", 1) != 1) return failure("write", path_);
    ++size_;
  } else {
    size_ -= rest.size();
    beyond_size_ = true;
    if (auto cut = restore_size(); !cut) return cut;
  }
  if (disk_->sync(file_.get()) != 0) return failure("flush to disk", path_);
  return {};
}

Result<void> AuditChain::check_end(const std::vector<AuditFileName>& files) {
  std::int64_t seq = files.back().first_seq - 1;
  std::string hash;  // empty: not known
  const bool whole = size_ <= kCheckedEnd;
  if (files.size() > 1 && whole) {
    auto before = last_line(files[files.size() - 2].path);
    if (!before) return fail(std::move(before.error()));
    const auto parts = split_line(*before);
    if (!parts || !hash_fits(*parts)) return broken(files[files.size() - 2].path, "its last line is not right");
    if (parts->seq != seq) return broken(path_, "lines between it and the file before are missing");
    hash = parts->hash;
  } else if (seq == 0) {
    hash = genesis_hash();
  }
  auto reader = AuditLineReader::open(path_, whole ? 0 : size_ - kCheckedEnd);
  if (!reader) return fail(std::move(reader.error()));
  for (bool first = true;; first = false) {
    auto line = reader->next();
    if (!line) return fail(std::move(line.error()));
    if (!*line) break;
    if (first && !whole) continue;  // begins somewhere within it
    const auto parts = split_line(**line);
    if (!parts) return broken(path_, fmt::format("the line after record {} is none of an audit trail", seq));
    if (hash.empty() && !whole) seq = parts->seq - 1;
    if (parts->seq != seq + 1) return broken(path_, fmt::format("record {} follows record {}", parts->seq, seq));
    if ((!hash.empty() && parts->prev != hash) || !hash_fits(*parts)) {
      return broken(path_, fmt::format("the hash of record {} does not fit", parts->seq));
    }
    seq = parts->seq;
    hash = parts->hash;
  }
  if (hash.empty()) return broken(path_, "it has no lines, and those before it are gone");
  last_seq_ = seq;
  last_hash_ = hash;
  return {};
}

// What a failed write left must go before anything else is written. After a failed fdatasync the pages count as clean
// although they are not on the disk: the lines are written anew, never just flushed again.
Result<void> AuditChain::restore_size() {
  if (!beyond_size_) return {};
  if (disk_->truncate(file_.get(), static_cast<off_t>(size_)) != 0) return failure("cut", path_);
  beyond_size_ = false;
  return {};
}

Result<void> AuditChain::next_file() {
  const auto path = audit_file_path(directory_, id_, last_seq_ + 1);
  FileDescriptor file(disk_->create(path.c_str()));
  if (!file && errno == EEXIST) {
    // Made by a call that failed later.
    auto made = open_audit_file(path, O_WRONLY | O_APPEND);
    if (!made) return fail(std::move(made.error()));
    auto size = audit_file_size(made->get(), path);
    if (!size) return fail(std::move(size.error()));
    if (*size != 0) return broken(path, "somebody else wrote it");
    file = std::move(*made);
  }
  if (!file) return failure("create", path);
  file_ = std::move(file);
  path_ = path;
  size_ = 0;
  beyond_size_ = false;
  directory_synced_ = false;
  return {};
}

Result<std::vector<std::string>> AuditChain::append(const std::vector<const AuditEvent*>& events, std::int64_t now_ms) {
  std::vector<std::string> lines;
  std::string text;
  std::int64_t seq = last_seq_;
  std::string hash = last_hash_;
  for (const AuditEvent* event : events) {
    AuditLine line = make_line(++seq, id_, hash, now_ms, *event);
    hash = std::move(line.hash);
    text += line.text;
    text += '\n';
    lines.push_back(std::move(line.text));
  }
  if (file_) {
    if (auto cut = restore_size(); !cut) return fail(std::move(cut.error()));
  }
  if (!file_ || (size_ > 0 && size_ >= rotate_bytes_)) {
    if (auto made = next_file(); !made) return fail(std::move(made.error()));
  }
  for (std::string_view rest = text; !rest.empty();) {
    beyond_size_ = true;
    const ssize_t written = disk_->write(file_.get(), rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written == 0) errno = EIO;
    if (written <= 0) {
      auto failed = failure("write", path_);
      (void)restore_size();  // else the next call does
      return failed;
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  if (disk_->sync(file_.get()) != 0) {
    auto failed = failure("flush to disk", path_);
    (void)restore_size();
    return failed;
  }
  if (!directory_synced_) {
    if (auto synced = sync_audit_directory(*disk_, directory_); !synced) {
      (void)restore_size();
      return fail(std::move(synced.error()));
    }
    directory_synced_ = true;
  }
  beyond_size_ = false;
  size_ += text.size();
  last_seq_ = seq;
  last_hash_ = std::move(hash);
  return lines;
}

Result<void> AuditChain::remove_older(std::int64_t than_ms, std::int64_t now_ms, std::vector<std::string>& lines) {
  auto chains = audit_files(directory_);
  if (!chains) return fail(std::move(chains.error()));
  for (const AuditFileName& file : (*chains)[id_]) {
    if (file.path == path_) break;
    auto last = last_line(file.path);
    if (!last) return fail(std::move(last.error()));
    auto row = row_of(*last);
    if (!row) return fail(std::move(row.error()));
    if (row->time >= than_ms) break;
    const AuditEvent event = retention_event({.seq = row->seq, .hash = row->hash}, file.path.filename().string());
    auto written = append({&event}, now_ms);
    if (!written) return fail(std::move(written.error()));
    lines.push_back(std::move(written->front()));
    if (disk_->remove(file.path.c_str()) != 0) return failure("remove", file.path);
  }
  return {};
}

}  // namespace llm::access
