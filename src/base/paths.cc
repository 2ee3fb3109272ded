#include "base/paths.h"

#include <cerrno>
#include <cstdlib>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace llm {
namespace {

constexpr std::string_view kProgram = "llm-mcp";

std::optional<std::filesystem::path> absolute_variable(const EnvLookup& env, const std::string& name) {
  const auto value = env(name);
  if (!value || !std::filesystem::path(*value).is_absolute()) return std::nullopt;
  return std::filesystem::path(*value);
}

Result<std::filesystem::path> xdg_dir(const EnvLookup& env, const std::string& variable, std::string_view below_home) {
  if (const auto base = absolute_variable(env, variable)) return *base / kProgram;
  if (const auto home = absolute_variable(env, "HOME")) return *home / below_home / kProgram;
  return fail(ErrorCode::kNotFound,
              fmt::format("neither {} nor HOME holds an absolute path; set one of them", variable));
}

// mkdir -p with mode 0700 for what is created.
Result<void> create_dirs(const std::filesystem::path& dir) {
  if (dir.has_parent_path() && dir.parent_path() != dir) {
    struct stat parent{};
    if (::stat(dir.parent_path().c_str(), &parent) != 0) {
      if (auto made = create_dirs(dir.parent_path()); !made) return made;
    }
  }
  if (::mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail(errno_error(errno, fmt::format("cannot create the directory {}", dir.string())));
  }
  return {};
}

}  // namespace

EnvLookup process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

Result<std::filesystem::path> config_dir(const EnvLookup& env) {
  return xdg_dir(env, "XDG_CONFIG_HOME", ".config");
}
Result<std::filesystem::path> data_dir(const EnvLookup& env) {
  return xdg_dir(env, "XDG_DATA_HOME", ".local/share");
}
Result<std::filesystem::path> cache_dir(const EnvLookup& env) {
  return xdg_dir(env, "XDG_CACHE_HOME", ".cache");
}

std::filesystem::path runtime_dir(const EnvLookup& env, uid_t uid) {
  if (const auto base = absolute_variable(env, "XDG_RUNTIME_DIR")) return *base / kProgram;
  return fmt::format("/tmp/{}-{}", kProgram, uid);
}

std::filesystem::path expand_home(std::string_view path, const EnvLookup& env) {
  if (path != "~" && !path.starts_with("~/")) return path;
  const auto home = absolute_variable(env, "HOME");
  if (!home) return path;
  return path.size() <= 2 ? *home : *home / path.substr(2);
}

Result<void> ensure_private_dir(const std::filesystem::path& dir) {
  // "a/" names what a symbolic link points to, "a" the link itself.
  const std::filesystem::path name = dir.has_filename() ? dir : dir.parent_path();
  if (auto made = create_dirs(name); !made) return made;
  struct stat info{};
  if (::lstat(name.c_str(), &info) != 0) {
    return fail(errno_error(errno, fmt::format("cannot read the directory {}", name.string())));
  }
  const auto refuse = [&name](std::string_view why) {
    return fail(ErrorCode::kPermissionDenied, fmt::format("{} {}", name.string(), why));
  };
  if (S_ISLNK(info.st_mode)) return refuse("is a symbolic link; replace it by a directory of your own");
  if (!S_ISDIR(info.st_mode)) return refuse("is not a directory; remove it");
  if (info.st_uid != ::geteuid()) {
    return refuse(fmt::format("belongs to user {}, not to you; remove it or set XDG_RUNTIME_DIR", info.st_uid));
  }
  if ((info.st_mode & 077) != 0) {
    return refuse(fmt::format("is open to other users (mode {:o}); run chmod 700 on it", info.st_mode & 07777));
  }
  return {};
}

}  // namespace llm
