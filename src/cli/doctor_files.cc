// Checks of what is on disk: directories and models.
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <map>
#include <set>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <system_error>
#include <unistd.h>

#include "base/strings.h"
#include "cli/doctor.h"
#include "models/store.h"

namespace llm::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLittleSpace = 2ULL << 30;
constexpr std::uint64_t kTooLittleSpace = 100ULL << 20;

struct Directory {
  std::string subject;
  fs::path path;
  bool secret = false;  // nobody else may have any access
};

// The nearest directory above that exists: where a missing one would be made.
fs::path existing_parent(fs::path path) {
  std::error_code error;
  while (!fs::exists(path, error) && path.has_relative_path()) path = path.parent_path();
  return path;
}

Finding check_missing(const Directory& directory) {
  const fs::path parent = existing_parent(directory.path);
  if (::access(parent.c_str(), W_OK | X_OK) == 0) {
    return {Verdict::kOk, directory.subject, fmt::format("{} is made when it is needed", directory.path.string()), {}};
  }
  return {Verdict::kFail, directory.subject,
          fmt::format("{} is not there and cannot be made: no right to write in {}", directory.path.string(),
                      parent.string()),
          fmt::format("make it: mkdir -p {}", directory.path.string())};
}

Finding check_directory(const Directory& directory, uid_t uid) {
  struct stat info{};
  const std::string path = directory.path.string();
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return check_missing(directory);
    return {Verdict::kFail, directory.subject, errno_error(errno, path).message,
            "see to the rights of the folders above"};
  }
  if (directory.secret && S_ISLNK(info.st_mode)) {
    return {Verdict::kFail, directory.subject, fmt::format("{} is a symbolic link", path), fmt::format("rm {}", path)};
  }
  if (::stat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return {Verdict::kFail, directory.subject, fmt::format("{} is not a directory", path), "move it away"};
  }
  const unsigned mode = info.st_mode & 07777U;
  if (info.st_uid != uid) {
    return {directory.secret ? Verdict::kFail : Verdict::kWarn, directory.subject,
            fmt::format("{} belongs to user {}, not to you ({})", path, info.st_uid, uid),
            fmt::format("chown -R {} {}", uid, path)};
  }
  if (directory.secret && (mode & 077U) != 0) {
    return {Verdict::kFail, directory.subject,
            fmt::format("{} has mode {:04o}; others could replace the sockets", path, mode),
            fmt::format("chmod 700 {}", path)};
  }
  if (!directory.secret && (mode & 022U) != 0) {
    return {Verdict::kWarn, directory.subject, fmt::format("{} has mode {:04o}; others may write to it", path, mode),
            fmt::format("chmod go-w {}", path)};
  }
  if (::access(path.c_str(), R_OK | W_OK | X_OK) != 0) {
    return {Verdict::kFail, directory.subject, fmt::format("{} cannot be written: {}", path, std::strerror(errno)),
            fmt::format("chmod u+rwx {}", path)};
  }
  return {Verdict::kOk, directory.subject, path, {}};
}

Finding check_space(const fs::path& models_dir) {
  struct statvfs info{};
  const fs::path place = existing_parent(models_dir);
  if (::statvfs(place.c_str(), &info) != 0) {
    return {Verdict::kWarn, "disk", errno_error(errno, place.string()).message, {}};
  }
  const std::uint64_t free = std::uint64_t{info.f_bavail} * info.f_frsize;
  std::string message = fmt::format("{} free for models in {}", format_bytes(free), place.string());
  const std::string remedy = "remove models (llm-mcp rm), or put the store elsewhere (models.directory)";
  if (free < kTooLittleSpace) return {Verdict::kFail, "disk", std::move(message), remedy};
  if (free < kLittleSpace) return {Verdict::kWarn, "disk", std::move(message), remedy};
  return {Verdict::kOk, "disk", std::move(message), {}};
}

// The files of one version, each of them once for all versions that share it.
std::optional<Finding> check_version(const models::ModelStore& store, const models::Manifest& manifest, bool verify,
                                     std::set<models::Digest>& seen) {
  const std::string name = models::to_string(manifest.name);
  const std::string again = fmt::format("llm-mcp rm {} and get it again; it came from {}", name, manifest.source);
  std::map<models::Digest, std::uint64_t> blobs;
  if (manifest.kind == models::ModelKind::kGguf) blobs.emplace(manifest.digest, manifest.size);
  for (const auto& file : manifest.files) blobs.emplace(file.digest, file.size);
  for (const auto& [digest, wanted] : blobs) {
    if (!seen.insert(digest).second) continue;
    const auto wrong = [&](std::string_view what) {
      return Finding{Verdict::kFail, "models", fmt::format("{}: {}", name, what), again};
    };
    const auto blob = store.blob_path(digest);
    if (!blob) return wrong(blob.error().message);
    std::error_code error;
    const auto size = fs::file_size(*blob, error);
    if (error || size != wanted) {
      return wrong(fmt::format("{} has {} bytes, it should have {}", blob->string(), error ? 0 : size, wanted));
    }
    if (!verify) continue;
    const std::atomic<bool> never = false;
    if (const auto sound = store.verify(digest, {}, never); !sound) return wrong(sound.error().message);
  }
  return std::nullopt;
}

}  // namespace

std::vector<Finding> check_directories(const DoctorSubject& subject) {
  const Installation& installation = subject.installation;
  std::vector<Finding> findings;
  for (const Directory& directory : {Directory{"configuration directory", installation.config_dir},
                                     Directory{"data directory", installation.data_dir},
                                     Directory{"runtime directory", installation.runtime_dir, true}}) {
    findings.push_back(check_directory(directory, subject.uid));
  }
  findings.push_back(check_space(installation.models_dir));
  return findings;
}

std::vector<Finding> check_models(const DoctorSubject& subject) {
  const fs::path& root = subject.installation.models_dir;
  const std::string get_one = "llm-mcp pull hf:OWNER/REPO, or llm-mcp import FILE";
  std::error_code error;
  if (!fs::exists(root, error)) return {{Verdict::kInfo, "models", "none yet", get_one}};  // open() would make it
  auto store = models::ModelStore::open({.root = root});
  if (!store) return {{Verdict::kFail, "models", store.error().message, "see to the rights of that folder"}};
  auto listing = (*store)->list();
  if (!listing) return {{Verdict::kFail, "models", listing.error().message, "see to the rights of that folder"}};
  std::vector<Finding> findings;
  for (const Error& problem : listing->problems) {
    findings.push_back({Verdict::kFail, "models", problem.message, "remove that file, then get the model again"});
  }
  std::set<models::Digest> seen;
  for (const models::Manifest& model : listing->models) {
    const auto known = (*store)->versions(model.name);
    if (!known) {
      findings.push_back({Verdict::kFail, "models", known.error().message, "get the model again"});
      continue;
    }
    for (const Error& problem : known->problems) {
      findings.push_back({Verdict::kFail, "models", problem.message, "remove that file; it is of an older version"});
    }
    for (const models::Manifest& version : known->versions) {
      if (auto finding = check_version(**store, version, subject.verify, seen)) findings.push_back(std::move(*finding));
    }
  }
  if (!findings.empty()) return findings;
  const std::size_t count = listing->models.size();
  if (count == 0) return {{Verdict::kInfo, "models", "none yet", get_one}};
  return {{Verdict::kOk,
           "models",
           fmt::format("{} in {}, {}", count, root.string(),
                       subject.verify ? "every file has its digest" : "every file is there with its size"),
           {}}};
}

}  // namespace llm::cli
