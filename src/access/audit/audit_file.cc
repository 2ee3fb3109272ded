#include "access/audit/audit_file.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/audit/audit_record.h"
#include "base/strings.h"

namespace llm::access {
namespace {

constexpr std::string_view kPrefix = "audit-";
constexpr std::string_view kSuffix = ".jsonl";
constexpr std::size_t kBlock = 256U << 10;

std::unexpected<Error> failure(std::string_view what, const std::filesystem::path& path) {
  return fail(errno_error(errno, fmt::format("the audit trail: cannot {} {}", what, path.string())));
}

bool is_chain(std::string_view text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::optional<AuditFileName> parse_name(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  const std::string_view middle =
      std::string_view(name).substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
  const auto dash = middle.find('-');
  if (dash == std::string_view::npos || !is_chain(middle.substr(0, dash))) return std::nullopt;
  const auto first = parse_number<std::int64_t>(middle.substr(dash + 1));
  if (!first || *first < 1) return std::nullopt;
  return AuditFileName{.chain = std::string(middle.substr(0, dash)), .first_seq = *first, .path = path};
}

}  // namespace

int AuditDisk::create(const char* path) {
  return ::open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}
ssize_t AuditDisk::write(int fd, const void* data, std::size_t size) {
  return ::write(fd, data, size);
}
int AuditDisk::sync(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) return ::fsync(fd);
  return ::fdatasync(fd);
}
int AuditDisk::truncate(int fd, off_t size) {
  return ::ftruncate(fd, size);
}
int AuditDisk::remove(const char* path) {
  return ::unlink(path);
}
AuditDisk& real_audit_disk() {
  static AuditDisk disk;
  return disk;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

std::filesystem::path audit_file_path(const std::filesystem::path& directory, std::string_view chain,
                                      std::int64_t first_seq) {
  return directory / fmt::format("{}{}-{:012}{}", kPrefix, chain, first_seq, kSuffix);
}

std::filesystem::path audit_lock_path(const std::filesystem::path& directory, std::string_view chain) {
  return directory / fmt::format("{}{}.lock", kPrefix, chain);
}

Result<std::map<std::string, std::vector<AuditFileName>>> audit_files(const std::filesystem::path& directory) {
  std::map<std::string, std::vector<AuditFileName>> chains;
  std::error_code error;
  std::filesystem::directory_iterator entries(directory, error);
  if (error == std::errc::no_such_file_or_directory) return chains;
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    if (auto name = parse_name(entries->path())) chains[name->chain].push_back(std::move(*name));
  }
  if (error)
    return fail(errno_error(error.value(), fmt::format("the audit trail: cannot list {}", directory.string())));
  for (auto& [chain, files] : chains) std::ranges::sort(files, {}, &AuditFileName::first_seq);
  return chains;
}

Result<void> make_audit_directory(const std::filesystem::path& directory) {
  std::error_code error;
  if (directory.has_parent_path()) std::filesystem::create_directories(directory.parent_path(), error);
  if (error) errno = error.value();
  if (error || (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST))
    return failure("make the directory", directory);
  return {};
}

Result<void> sync_audit_directory(AuditDisk& disk, const std::filesystem::path& directory) {
  const FileDescriptor file(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file) return failure("open the directory", directory);
  // Some network file systems cannot flush a directory; they say EINVAL and keep the order themselves.
  if (disk.sync(file.get()) != 0 && errno != EINVAL) return failure("flush the directory", directory);
  return {};
}

Result<FileDescriptor> open_audit_file(const std::filesystem::path& path, int flags) {
  // O_NONBLOCK: opening a FIFO must not hang; it has no effect on regular files.
  FileDescriptor file(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file) return failure("open", path);
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) return failure("read the attributes of", path);
  if (!S_ISREG(info.st_mode)) {
    return fail(ErrorCode::kConflict, fmt::format("the audit trail: {} is not a regular file", path.string()));
  }
  return file;
}

Result<std::uint64_t> audit_file_size(int fd, const std::filesystem::path& path) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return failure("read the attributes of", path);
  return static_cast<std::uint64_t>(info.st_size);
}

Result<std::optional<FileDescriptor>> lock_chain(const std::filesystem::path& directory, std::string_view chain) {
  const auto path = audit_lock_path(directory, chain);
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return failure("open", path);
  while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return std::nullopt;
    if (errno != EINTR) return failure("lock", path);
  }
  return file;
}

Result<AuditLineReader> AuditLineReader::open(const std::filesystem::path& path, std::uint64_t offset) {
  auto file = open_audit_file(path, O_RDONLY);
  if (!file) return fail(std::move(file.error()));
  if (::lseek(file->get(), static_cast<off_t>(offset), SEEK_SET) < 0) return failure("read", path);
  return AuditLineReader(path, std::move(*file), offset);
}

Result<std::optional<std::string_view>> AuditLineReader::next() {
  std::size_t searched = begin_;
  for (;;) {
    const auto end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      const auto line = std::string_view(buffer_).substr(begin_, end - begin_);
      begin_ = end + 1;
      offset_ += line.size() + 1;
      ++line_;
      return line;
    }
    if (buffer_.size() - begin_ > kMostLine) {
      return fail(ErrorCode::kConflict,
                  fmt::format("{}, line {}: no audit record is that long", path_.filename().string(), line_ + 1));
    }
    buffer_.erase(0, begin_);
    begin_ = 0;
    searched = buffer_.size();
    buffer_.resize(searched + kBlock);
    ssize_t got = 0;
    do {
      got = ::read(file_.get(), buffer_.data() + searched, kBlock);
    } while (got < 0 && errno == EINTR);
    buffer_.resize(searched + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0) return failure("read", path_);
    if (got == 0) return std::nullopt;
  }
}

}  // namespace llm::access
