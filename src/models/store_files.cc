#include "models/store_files.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <sys/stat.h>
#include <system_error>

#include "models/file_system.h"

namespace llm::models {

namespace fs = std::filesystem;

Result<void> require_folder(const fs::path& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    const int saved = errno;
    return fail(errno_error(saved, fmt::format("cannot use {}", path.string())));
  }
  if (!S_ISDIR(info.st_mode)) {
    return fail(ErrorCode::kIo, fmt::format("{} must be a folder, not a file or a link; move it away", path.string()));
  }
  return {};
}

Result<void> make_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
    const int saved = errno;
    return fail(errno_error(saved, fmt::format("cannot create {}", path.string())));
  }
  return require_folder(path);
}

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    found.push_back(it->path());
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace llm::models
