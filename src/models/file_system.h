#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>

#include "base/error.h"

namespace llm::models {

// A file descriptor that is closed by its owner.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd() { reset(); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// Every call of this layer that can fail because of the disk goes through here, so that a test can make the n-th of
// them fail. The calls mirror the system calls: -1 and errno. Stateless, any thread.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual ssize_t write(int fd, const void* data, std::size_t size);
  virtual int fsync(int fd);
  virtual int rename(const char* from, const char* to);
  virtual int link(const char* from, const char* to);
  // Makes `to` share the blocks of `from` (FICLONE); -1 where the file system cannot.
  virtual int clone(int from, int to);
  // Bytes an ordinary user may still write to the file system that holds `directory`.
  virtual Result<std::uint64_t> free_bytes(const std::filesystem::path& directory);
};

// The system's own. Stateless, so sharing it is safe.
FileSystem& real_file_system();

Result<void> write_all(FileSystem& files, int fd, std::span<const std::byte> data, const std::filesystem::path& path);
Result<void> sync_file(FileSystem& files, int fd, const std::filesystem::path& path);
// Makes a rename or an unlink in `directory` durable.
Result<void> sync_directory(FileSystem& files, const std::filesystem::path& directory);
Result<void> rename_file(FileSystem& files, const std::filesystem::path& from, const std::filesystem::path& to);

// Replaces `path` in one step: readers see the old text or the new one, also after a power cut. On failure the old
// file stays and no temporary file is left.
Result<void> write_file_atomic(FileSystem& files, const std::filesystem::path& path, std::string_view text);

// The whole file; kNotFound if there is none, kPayloadTooLarge beyond `limit` bytes. Symbolic links are refused.
Result<std::string> read_small_file(const std::filesystem::path& path, std::size_t limit);

// Opens a regular file for reading; `follow` says whether a symbolic link in the last component is accepted.
Result<UniqueFd> open_regular(const std::filesystem::path& path, bool follow);
// Size in bytes of an open file.
Result<std::uint64_t> file_size_of(int fd, const std::filesystem::path& path);

// An advisory exclusive lock (flock) on a file that is created if missing. It excludes other processes and other
// holders in this one. Released by the destructor.
Result<UniqueFd> lock_file(const std::filesystem::path& path);
// Takes the lock on an open file without waiting: false if somebody else holds it.
bool try_lock(int fd);

// kDiskFull, with both numbers in the message, unless `needed` bytes (and `reserve` more) fit.
Result<void> require_space(FileSystem& files, const std::filesystem::path& directory, std::uint64_t needed,
                           std::uint64_t reserve);

}  // namespace llm::models
