// Collecting what nothing refers to any more.
#include <fmt/format.h>
#include <set>
#include <string>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "models/store.h"

namespace llm::models {

namespace {

namespace fs = std::filesystem;

void delete_file(const fs::path& path, GcReport& report) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0 || ::unlink(path.c_str()) != 0) return;
  ++report.files;
  if (S_ISREG(info.st_mode) && info.st_nlink == 1) report.bytes += static_cast<std::uint64_t>(info.st_size);
}

// Is nobody, in any process, working on this file?
bool idle(const fs::path& path) {
  const auto fd = open_regular(path, false);
  return fd && try_lock(fd->get());
}

}  // namespace

void ModelStore::collect_partial(bool downloads, GcReport& report) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(partial_directory(), error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("import-") && name.ends_with(".tmp")) {
      if (idle(entry.path())) delete_file(entry.path(), report);
    } else if (downloads && name.ends_with(".part") && idle(entry.path())) {
      delete_file(entry.path(), report);
      fs::path notes = entry.path();
      delete_file(notes.replace_extension(".json"), report);
    }
  }
}

Result<GcReport> ModelStore::gc(bool partial_downloads) {
  const auto held = lock();
  if (!held) return fail(held.error());
  const auto listing = list();
  if (!listing) return fail(listing.error());
  if (!listing->problems.empty()) {
    return fail(
        ErrorCode::kConflict,
        fmt::format("nothing was collected, since a manifest cannot be read and its file would be lost; mend or "
                    "delete it first: {}",
                    listing->problems.front().message));
  }
  std::set<std::string> used;
  for (const auto& model : listing->models) used.insert(model.digest.file_name());
  GcReport report;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(settings_.root / "blobs", error)) {
    const std::string name = entry.path().filename().string();
    // Only what this store could have made itself is ours to delete.
    if (!name.starts_with("sha256-") || !Digest::parse("sha256:" + name.substr(7)) || used.contains(name)) continue;
    delete_file(entry.path(), report);
  }
  collect_partial(partial_downloads, report);
  // Leftovers of writes that a crash cut short; nobody else writes there while we hold the lock.
  for (const auto& place : {settings_.root, settings_.root / "manifests"}) {
    for (fs::recursive_directory_iterator it(place, error), end; !error && it != end; it.increment(error)) {
      if (place == settings_.root) it.disable_recursion_pending();
      if (it->path().filename().string().starts_with(".tmp-")) delete_file(it->path(), report);
    }
  }
  return report;
}

}  // namespace llm::models
