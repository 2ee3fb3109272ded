#include "engines/vllm/container_keys.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/paths.h"
#include "models/digest.h"

namespace llm::engines {
namespace {

constexpr std::string_view kSuffix = ".key";

}  // namespace

ContainerKeys::ContainerKeys(std::filesystem::path folder, std::string_view docker_host)
    : folder_(std::move(folder)), prefix_(models::sha256_of(docker_host).hex().substr(0, 8) + "-") {}

std::filesystem::path ContainerKeys::file(std::string_view id) const {
  return folder_ / fmt::format("{}{}{}", prefix_, id, kSuffix);
}

Result<void> ContainerKeys::write(std::string_view id, std::string_view key) const {
  if (auto folder = ensure_private_dir(folder_); !folder) return folder;
  const auto path = file(id);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return fail(errno_error(errno, path.string()));
  const ssize_t written = ::write(fd, key.data(), key.size());
  const int why = written < 0 ? errno : ENOSPC;
  ::close(fd);
  if (written == static_cast<ssize_t>(key.size())) return {};
  remove(id);
  return fail(errno_error(why, path.string()));
}

std::optional<std::string> ContainerKeys::read(std::string_view id) const {
  const int fd = ::open(file(id).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  struct stat found{};
  std::array<char, 4096> buffer{};
  const bool ours = ::fstat(fd, &found) == 0 && found.st_uid == ::geteuid() && (found.st_mode & 077) == 0;
  const ssize_t size = ours ? ::read(fd, buffer.data(), buffer.size()) : -1;
  ::close(fd);
  if (size < 0) return std::nullopt;
  return std::string(buffer.data(), static_cast<std::size_t>(size));
}

void ContainerKeys::remove(std::string_view id) const {
  std::error_code ignored;
  std::filesystem::remove(file(id), ignored);
}

void ContainerKeys::keep_only(const std::vector<std::string>& ids) const {
  std::error_code ignored;
  std::vector<std::filesystem::path> going;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, ignored)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(prefix_) || !name.ends_with(kSuffix)) continue;
    const std::string id = name.substr(prefix_.size(), name.size() - prefix_.size() - kSuffix.size());
    if (std::ranges::find(ids, id) == ids.end()) going.push_back(entry.path());
  }
  for (const auto& path : going) std::filesystem::remove(path, ignored);
}

}  // namespace llm::engines
