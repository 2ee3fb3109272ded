#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "access/audit/audit_file.h"
#include "access/audit/audit_record.h"

namespace llm::access {

// The chain that this process writes: its lock, its newest file and the end of it. One thread at a time.
class AuditChain {
 public:
  // Takes the newest chain of the directory that nobody has, cuts off a line that a crash left unfinished, and checks
  // the lines at the end against each other; or begins a new one. kConflict for an end that does not verify.
  static Result<AuditChain> open(const std::filesystem::path& directory, std::uint64_t rotate_bytes, AuditDisk& disk,
                                 std::int64_t now_ms);

  const std::string& id() const { return id_; }
  std::int64_t last_seq() const { return last_seq_; }
  const std::string& last_hash() const { return last_hash_; }
  const std::filesystem::path& directory() const { return directory_; }

  // Adds lines for these events, in one write and with one fdatasync: all are on stable storage, or none is in the
  // chain and the same call can be made again. -> the lines
  Result<std::vector<std::string>> append(const std::vector<const AuditEvent*>& events, std::int64_t now_ms);

  // Removes the files from the front whose lines are all older, after a line that says so for each; never the newest
  // one. Those lines are added to `lines`, also if a later step fails.
  Result<void> remove_older(std::int64_t than_ms, std::int64_t now_ms, std::vector<std::string>& lines);

 private:
  AuditChain(std::filesystem::path directory, std::uint64_t rotate_bytes, AuditDisk& disk)
      : directory_(std::move(directory)), rotate_bytes_(rotate_bytes), disk_(&disk) {}
  Result<void> begin(std::int64_t now_ms);
  Result<void> go_on(const std::vector<AuditFileName>& files);
  Result<void> repair_end();
  Result<void> check_end(const std::vector<AuditFileName>& files);
  Result<void> next_file();
  Result<void> restore_size();

  std::filesystem::path directory_;
  std::uint64_t rotate_bytes_;
  AuditDisk* disk_;
  std::string id_;
  FileDescriptor lock_;
  FileDescriptor file_;
  std::filesystem::path path_;
  std::uint64_t size_ = 0;         // of what is on stable storage
  bool beyond_size_ = false;       // a failed write may have left something behind that
  bool directory_synced_ = false;  // the file's name is on stable storage
  std::int64_t last_seq_ = 0;
  std::string last_hash_ = genesis_hash();
};

}  // namespace llm::access
