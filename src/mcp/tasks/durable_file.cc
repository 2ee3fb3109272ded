#include "mcp/tasks/durable_file.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace llm::mcp {
namespace {

std::unexpected<Error> failure(std::string_view what, const std::filesystem::path& path) {
  return fail(errno_error(errno, fmt::format("{} {}", what, path.string())));
}

Result<void> write_all(DiskCalls& disk, int fd, std::string_view text, const std::filesystem::path& path) {
  while (!text.empty()) {
    const ssize_t written = disk.write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failure("cannot write", path);
    if (written == 0)
      return fail(ErrorCode::kIo, fmt::format("cannot write {}: the disk takes nothing", path.string()));
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> write_new(DiskCalls& disk, const std::filesystem::path& path, std::string_view text) {
  const FileHandle file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return failure("cannot create", path);
  if (auto done = write_all(disk, file.get(), text, path); !done) return done;
  if (disk.fsync(file.get()) != 0) return failure("cannot flush to disk", path);
  return {};
}

Result<void> flush_directory(DiskCalls& disk, const std::filesystem::path& directory) {
  const FileHandle file(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file) return failure("cannot open the directory", directory);
  // Some network file systems cannot flush a directory; they say EINVAL and order renames themselves.
  if (disk.fsync(file.get()) != 0 && errno != EINVAL) return failure("cannot flush the directory", directory);
  return {};
}

}  // namespace

ssize_t DiskCalls::write(int fd, const void* data, std::size_t size) {
  return ::write(fd, data, size);
}
int DiskCalls::fsync(int fd) {
  return ::fsync(fd);
}
int DiskCalls::rename(const char* from, const char* to) {
  return ::rename(from, to);
}

DiskCalls& real_disk_calls() {
  static DiskCalls calls;
  return calls;
}

FileHandle::~FileHandle() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> replace_file(DiskCalls& disk, const std::filesystem::path& path, const std::filesystem::path& temporary,
                          std::string_view text) {
  auto done = write_new(disk, temporary, text);
  if (done && disk.rename(temporary.c_str(), path.c_str()) != 0) done = failure("cannot put in place", path);
  if (!done) {
    ::unlink(temporary.c_str());
    return done;
  }
  return flush_directory(disk, path.parent_path());
}

Result<std::string> read_file(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a FIFO must not hang; it has no effect on regular files.
  const FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file) return failure("cannot open", path);
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) return failure("cannot read the attributes of", path);
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::kIo, fmt::format("{} is not a regular file", path.string()));
  std::string text;
  char buffer[16 * 1024];
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failure("cannot read", path);
    if (got == 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
  }
}

Result<OwnerLock> OwnerLock::take(const std::filesystem::path& path) {
  for (;;) {
    OwnerLock lock;
    lock.path_ = path;
    lock.file_ = FileHandle(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock.file_) return failure("cannot open", path);
    if (::flock(lock.file_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno != EWOULDBLOCK) return failure("cannot lock", path);
      return fail(ErrorCode::kAlreadyExists, fmt::format("{} is locked by its owner", path.string()));
    }
    // Between opening and locking another process may have removed the file: then this lock is on nothing.
    struct stat held{};
    struct stat named{};
    if (::fstat(lock.file_.get(), &held) == 0 && ::stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino &&
        held.st_dev == named.st_dev) {
      return lock;
    }
  }
}

void OwnerLock::remove() {
  if (!file_) return;
  ::unlink(path_.c_str());
  file_ = FileHandle();
}

}  // namespace llm::mcp
