#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>

#include "base/error.h"

namespace llm::mcp {

// The calls by which files are written, so that a test can make any of them fail. They mirror the system's: -1 and
// errno. Stateless.
class DiskCalls {
 public:
  virtual ~DiskCalls() = default;
  virtual ssize_t write(int fd, const void* data, std::size_t size);
  virtual int fsync(int fd);
  virtual int rename(const char* from, const char* to);
};
DiskCalls& real_disk_calls();

// A file descriptor that is closed by its owner.
class FileHandle {
 public:
  FileHandle() = default;
  explicit FileHandle(int fd) : fd_(fd) {}
  FileHandle(FileHandle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileHandle& operator=(FileHandle&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileHandle();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// Replaces `path` (0600) in one step by way of `temporary`, a name beside it that nobody else uses: readers see the old
// text or the new, also after a power cut. On failure the old file stays and no temporary one is left.
Result<void> replace_file(DiskCalls& disk, const std::filesystem::path& path, const std::filesystem::path& temporary,
                          std::string_view text);

// The whole regular file; kNotFound if there is none. Symbolic links are refused.
Result<std::string> read_file(const std::filesystem::path& path);

// A locked (flock) file that says its maker lives; the kernel frees the lock when the process ends, however it ends.
class OwnerLock {
 public:
  OwnerLock() = default;
  // kAlreadyExists: the lock is somebody's. Makes the file if there is none.
  static Result<OwnerLock> take(const std::filesystem::path& path);
  bool held() const { return static_cast<bool>(file_); }
  // Removes the file, for good: nobody needs to ask about this owner any more.
  void remove();

 private:
  std::filesystem::path path_;
  FileHandle file_;
};

}  // namespace llm::mcp
