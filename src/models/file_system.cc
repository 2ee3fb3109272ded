#include "models/file_system.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/fs.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/random.h"
#include "base/strings.h"

namespace llm::models {

namespace {

std::unexpected<Error> io_failure(std::string_view what, const std::filesystem::path& path) {
  const int saved = errno;
  return fail(errno_error(saved, fmt::format("{} {}", what, path.string())));
}

}  // namespace

void UniqueFd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

ssize_t FileSystem::write(int fd, const void* data, std::size_t size) {
  return ::write(fd, data, size);
}
int FileSystem::fsync(int fd) {
  return ::fsync(fd);
}
int FileSystem::rename(const char* from, const char* to) {
  return ::rename(from, to);
}
int FileSystem::link(const char* from, const char* to) {
  return ::link(from, to);
}

int FileSystem::clone(int from, int to) {
#ifdef FICLONE
  return ::ioctl(to, FICLONE, from);
#else
  (void)from, (void)to;
  errno = EOPNOTSUPP;
  return -1;
#endif
}

Result<std::uint64_t> FileSystem::free_bytes(const std::filesystem::path& directory) {
  struct statvfs info{};
  if (::statvfs(directory.c_str(), &info) != 0) return io_failure("cannot ask for free disk space of", directory);
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

FileSystem& real_file_system() {
  static FileSystem instance;
  return instance;
}

Result<void> write_all(FileSystem& files, int fd, std::span<const std::byte> data, const std::filesystem::path& path) {
  while (!data.empty()) {
    const ssize_t written = files.write(fd, data.data(), data.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return io_failure("cannot write", path);
    }
    if (written == 0)
      return fail(ErrorCode::kIo, fmt::format("cannot write {}: the disk takes nothing", path.string()));
    data = data.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> sync_file(FileSystem& files, int fd, const std::filesystem::path& path) {
  if (files.fsync(fd) != 0) return io_failure("cannot flush to disk", path);
  return {};
}

Result<void> sync_directory(FileSystem& files, const std::filesystem::path& directory) {
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return io_failure("cannot open folder", directory);
  // Some network file systems cannot flush a folder; they say EINVAL and order renames themselves.
  if (files.fsync(fd.get()) != 0 && errno != EINVAL) return io_failure("cannot flush folder", directory);
  return {};
}

Result<void> rename_file(FileSystem& files, const std::filesystem::path& from, const std::filesystem::path& to) {
  if (files.rename(from.c_str(), to.c_str()) != 0) return io_failure("cannot put in place", to);
  return {};
}

Result<void> write_file_atomic(FileSystem& files, const std::filesystem::path& path, std::string_view text) {
  const std::filesystem::path temporary = path.parent_path() / unique_id(".tmp-");
  UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd) return io_failure("cannot create", temporary);
  auto done = write_all(files, fd.get(), std::as_bytes(std::span(text)), path);
  if (done) done = sync_file(files, fd.get(), path);
  fd.reset();
  if (done) done = rename_file(files, temporary, path);
  if (!done) {
    ::unlink(temporary.c_str());
    return done;
  }
  return sync_directory(files, path.parent_path());
}

Result<UniqueFd> open_regular(const std::filesystem::path& path, bool follow) {
  // O_NONBLOCK: opening a FIFO must not hang; it has no effect on regular files.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW)));
  if (!fd) {
    if (errno == ELOOP && !follow) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("{} is a symbolic link; name the file it points to", path.string()));
    }
    return io_failure("cannot open", path);
  }
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return io_failure("cannot read the attributes of", path);
  if (!S_ISREG(info.st_mode)) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("{} is not a regular file", path.string()));
  }
  return fd;
}

Result<std::uint64_t> file_size_of(int fd, const std::filesystem::path& path) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return io_failure("cannot read the size of", path);
  return static_cast<std::uint64_t>(info.st_size);
}

Result<std::string> read_small_file(const std::filesystem::path& path, std::size_t limit) {
  auto fd = open_regular(path, false);
  if (!fd) return fail(std::move(fd.error()));
  std::string text;
  char buffer[16 * 1024];
  for (;;) {
    const ssize_t got = ::read(fd->get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return io_failure("cannot read", path);
    if (got == 0) return text;
    if (text.size() + static_cast<std::size_t>(got) > limit) {
      return fail(ErrorCode::kPayloadTooLarge, fmt::format("{} is larger than {}", path.string(), format_bytes(limit)));
    }
    text.append(buffer, static_cast<std::size_t>(got));
  }
}

Result<UniqueFd> lock_file(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd) return io_failure("cannot open lock file", path);
  while (::flock(fd.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return io_failure("cannot lock", path);
  }
  return fd;
}

bool try_lock(int fd) {
  return ::flock(fd, LOCK_EX | LOCK_NB) == 0;
}

Result<void> require_space(FileSystem& files, const std::filesystem::path& directory, std::uint64_t needed,
                           std::uint64_t reserve) {
  const auto free = files.free_bytes(directory);
  if (!free) return fail(free.error());
  if (*free >= reserve && *free - reserve >= needed) return {};
  return fail(Error{
      ErrorCode::kDiskFull,
      fmt::format("not enough disk space in {}: {} ({} bytes) needed and {} kept free, {} ({} bytes) available; free "
                  "some space or remove a model",
                  directory.string(), format_bytes(needed), needed, format_bytes(reserve), format_bytes(*free), *free),
      {},
      {{"needed_bytes", static_cast<std::int64_t>(needed)}, {"free_bytes", static_cast<std::int64_t>(*free)}},
      0});
}

}  // namespace llm::models
