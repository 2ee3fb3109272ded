#include "cli/client_config_file.h"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include "models/file_system.h"

namespace llm::cli {
namespace {

namespace fs = std::filesystem;
using models::UniqueFd;

constexpr off_t kMaxBytes = off_t{64} << 20;
constexpr int kMostBackups = 1000;  // of one second

std::unexpected<Error> failed(std::string_view what, const fs::path& path) {
  return fail(errno_error(errno, fmt::format("cannot {} {}", what, path.string())));
}

// Where `path` leads to, also if there is nothing (yet).
fs::path target_of(const fs::path& path) {
  std::error_code error;
  fs::path target = path;
  for (int links = 0; links < 40 && fs::is_symlink(fs::symlink_status(target, error)); ++links) {
    const fs::path next = fs::read_symlink(target, error);
    if (error) break;
    target = next.is_absolute() ? next : target.parent_path() / next;
  }
  return target;
}

bool same_state(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

Result<void> check_unchanged(const ClientFile& file) {
  struct stat now{};
  const bool there = ::stat(file.target.c_str(), &now) == 0;
  if (there == file.state.has_value() && (!there || same_state(now, *file.state))) return {};
  return fail(ErrorCode::kConflict,
              fmt::format("{} was changed by another program just now; try again", file.path.string()));
}

Result<void> write_new(const UniqueFd& out, const fs::path& path, std::string_view text) {
  auto& files = models::real_file_system();
  if (auto done = models::write_all(files, out.get(), std::as_bytes(std::span(text)), path); !done) return done;
  return models::sync_file(files, out.get(), path);
}

// The owner is kept where we may; elsewhere the file becomes ours, as with any editor that replaces files.
void take_over_rights(const UniqueFd& out, const struct stat& old) {
  if (::fchown(out.get(), old.st_uid, old.st_gid) != 0) errno = 0;
  if (::fchmod(out.get(), old.st_mode & 07777) != 0) errno = 0;
}

Result<fs::path> keep_backup(const ClientFile& file, std::chrono::system_clock::time_point now) {
  const std::string stem = fmt::format("{}.bak-{:%Y%m%dT%H%M%SZ}", file.path.string(),
                                       fmt::gmtime(std::chrono::system_clock::to_time_t(now)));
  for (int n = 1; n <= kMostBackups; ++n) {
    const fs::path path = n == 1 ? stem : fmt::format("{}-{}", stem, n);
    const UniqueFd out(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!out && errno == EEXIST) continue;
    if (!out) return failed("write the backup", path);
    take_over_rights(out, *file.state);
    if (auto done = write_new(out, path, file.text); !done) {
      ::unlink(path.c_str());
      return fail(std::move(done.error()));
    }
    return path;
  }
  return fail(ErrorCode::kConflict, fmt::format("{} and {} more backups are there", stem, kMostBackups - 1));
}

// A file beside the target that takes its place at the end, or goes.
class Replacement {
 public:
  explicit Replacement(fs::path target) : target_(std::move(target)) {}
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;
  ~Replacement() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  Result<void> write(const ClientFile& file, std::string_view text) {
    std::string pattern = (target_.parent_path() / ("." + target_.filename().string() + ".XXXXXX")).string();
    const UniqueFd out(::mkostemp(pattern.data(), O_CLOEXEC));
    if (!out) return failed("write", target_);
    path_ = pattern;
    if (file.state) take_over_rights(out, *file.state);
    return write_new(out, path_, text);
  }

  Result<void> commit() {
    auto& files = models::real_file_system();
    if (auto done = models::rename_file(files, path_, target_); !done) return done;
    path_.clear();
    return models::sync_directory(files, target_.parent_path());
  }

 private:
  fs::path target_;
  fs::path path_;
};

}  // namespace

Result<ClientFile> read_client_file(const fs::path& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  ClientFile out{.path = error ? path : absolute, .target = {}, .state = {}, .text = {}};
  out.target = target_of(out.path);
  const UniqueFd in(::open(out.target.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!in && errno == ENOENT) return out;
  if (!in) return failed("read", path);
  struct stat state{};
  if (::fstat(in.get(), &state) != 0) return failed("read", path);
  if (!S_ISREG(state.st_mode)) return fail(ErrorCode::kUnsupported, fmt::format("{} is no file", path.string()));
  if (state.st_size > kMaxBytes) {
    return fail(ErrorCode::kUnsupported, fmt::format("{} has more than 64 MiB: no configuration", path.string()));
  }
  out.text.resize(static_cast<std::size_t>(state.st_size));
  std::size_t got = 0;
  while (got < out.text.size()) {
    const ssize_t part = ::read(in.get(), out.text.data() + got, out.text.size() - got);
    if (part < 0 && errno == EINTR) continue;
    if (part < 0) return failed("read", path);
    if (part == 0) break;
    got += static_cast<std::size_t>(part);
  }
  out.text.resize(got);
  out.state = state;
  return out;
}

Result<fs::path> replace_client_file(const ClientFile& file, std::string_view text,
                                     std::chrono::system_clock::time_point now) {
  if (!file.state) {
    std::error_code error;
    fs::create_directories(file.target.parent_path(), error);
    if (error) {
      errno = error.value();
      return failed("create", file.target.parent_path());
    }
  }
  Replacement replacement(file.target);
  if (auto done = replacement.write(file, text); !done) return fail(std::move(done.error()));
  fs::path backup;
  if (file.state) {
    auto kept = keep_backup(file, now);
    if (!kept) return fail(std::move(kept.error()));
    backup = std::move(*kept);
  }
  auto done = check_unchanged(file);
  if (done) done = replacement.commit();
  if (done) return backup;
  if (!backup.empty()) ::unlink(backup.c_str());
  return fail(std::move(done.error()));
}

}  // namespace llm::cli
