// Repositories: many blobs under the names that their files have.
#include <cerrno>
#include <fmt/format.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "base/random.h"
#include "models/store.h"
#include "models/store_files.h"

namespace llm::models {

namespace {

namespace fs = std::filesystem;

bool complete(const Manifest& manifest, const fs::path& folder) {
  for (const auto& file : manifest.files) {
    struct stat info{};
    const fs::path path = folder / file.path;
    if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode) ||
        static_cast<std::uint64_t>(info.st_size) != file.size) {
      return false;
    }
  }
  return true;
}

Result<void> make_parents(const fs::path& root, const fs::path& relative) {
  fs::path at = root;
  for (const auto& part : relative.parent_path()) {
    at /= part;
    if (auto made = make_folder(at); !made) return made;
  }
  return {};
}

}  // namespace

// Hard links need no blobs/ beside them, so that the folder can be mounted into a container alone.
Result<void> ModelStore::make_repository(const Manifest& manifest, const fs::path& folder) {
  for (const auto& file : manifest.files) {
    if (auto ok = check_file_path(file.path); !ok) return ok;
    const auto blob = blob_path(file.digest);
    if (!blob) return fail(blob.error());
    if (auto made = make_parents(folder, file.path); !made) return made;
    const fs::path link = folder / file.path;
    if (files_.link(blob->c_str(), link.c_str()) == 0) continue;
    int saved = errno;
    if (saved == EPERM || saved == EMLINK || saved == EOPNOTSUPP) {
      if (::symlink(blob->c_str(), link.c_str()) == 0) continue;
      saved = errno;
    }
    return fail(errno_error(saved, fmt::format("cannot link {}", link.string())));
  }
  return {};
}

Result<fs::path> ModelStore::repository_path(const Manifest& manifest) {
  if (manifest.kind != ModelKind::kRepository) {
    return fail(ErrorCode::kUnsupported,
                fmt::format("`{}` is one GGUF file, not a repository", to_string(manifest.name)));
  }
  const fs::path place = settings_.root / "repositories";
  if (auto ok = require_folder(place); !ok) return fail(std::move(ok.error()));
  const fs::path folder = place / manifest.digest.hex();
  if (require_folder(folder) && complete(manifest, folder)) return folder;
  const auto held = lock();
  if (!held) return fail(held.error());
  if (require_folder(folder) && complete(manifest, folder)) return folder;
  const fs::path temporary = place / unique_id(".tmp-");
  if (auto made = make_folder(temporary); !made) return fail(std::move(made.error()));
  std::error_code ignored;
  auto done = make_repository(manifest, temporary);
  if (done) fs::remove_all(folder, ignored);  // one that somebody took files out of
  if (done) done = rename_file(files_, temporary, folder);
  if (!done) {
    fs::remove_all(temporary, ignored);
    return fail(std::move(done.error()));
  }
  return folder;
}

}  // namespace llm::models
