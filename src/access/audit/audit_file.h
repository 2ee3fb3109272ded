#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "base/error.h"

// The files of the audit trail: audit-<chain>-<first seq>.jsonl, and audit-<chain>.lock of the process that writes
// them.
namespace llm::access {

// The calls by which the trail is written, so that a test can make any of them fail or wait. They mirror the system's:
// -1 and errno.
class AuditDisk {
 public:
  virtual ~AuditDisk() = default;
  virtual int create(const char* path);  // O_EXCL, 0600
  virtual ssize_t write(int fd, const void* data, std::size_t size);
  virtual int sync(int fd);  // fdatasync; fsync for a directory
  virtual int truncate(int fd, off_t size);
  virtual int remove(const char* path);
};
AuditDisk& real_audit_disk();  // stateless

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

struct AuditFileName {
  std::string chain;
  std::int64_t first_seq = 0;
  std::filesystem::path path;
};
std::filesystem::path audit_file_path(const std::filesystem::path& directory, std::string_view chain,
                                      std::int64_t first_seq);
std::filesystem::path audit_lock_path(const std::filesystem::path& directory, std::string_view chain);
// The files of each chain in the order of their first lines; other files are not looked at. An empty map if there is no
// such directory.
Result<std::map<std::string, std::vector<AuditFileName>>> audit_files(const std::filesystem::path& directory);

// Makes the directory (0700) if there is none.
Result<void> make_audit_directory(const std::filesystem::path& directory);
Result<void> sync_audit_directory(AuditDisk& disk, const std::filesystem::path& directory);

// Opens a regular file; symbolic links are refused.
Result<FileDescriptor> open_audit_file(const std::filesystem::path& path, int flags);
Result<std::uint64_t> audit_file_size(int fd, const std::filesystem::path& path);

// Exclusive, released when the descriptor closes. Nothing: another process has it.
Result<std::optional<FileDescriptor>> lock_chain(const std::filesystem::path& directory, std::string_view chain);

// Reads lines without holding a file in memory.
class AuditLineReader {
 public:
  // From `offset` on.
  static Result<AuditLineReader> open(const std::filesystem::path& path, std::uint64_t offset = 0);
  // The next line without its newline, valid until the next call; nothing at the end. kConflict for a line that is too
  // long to be one.
  Result<std::optional<std::string_view>> next();
  std::int64_t line() const { return line_; }                 // of the last next(), from 1
  std::uint64_t offset() const { return offset_; }            // behind that line and its newline
  std::uint64_t unfinished() const { return rest().size(); }  // at the end: bytes after the last newline
  std::string_view rest() const { return std::string_view(buffer_).substr(begin_); }

 private:
  AuditLineReader(std::filesystem::path path, FileDescriptor file, std::uint64_t offset)
      : path_(std::move(path)), file_(std::move(file)), offset_(offset) {}
  std::filesystem::path path_;
  FileDescriptor file_;
  std::string buffer_;
  std::size_t begin_ = 0;
  std::uint64_t offset_ = 0;
  std::int64_t line_ = 0;
};

}  // namespace llm::access
