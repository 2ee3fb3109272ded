// Collecting what nothing refers to any more.
#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <map>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "models/store.h"
#include "models/store_files.h"

namespace llm::models {

namespace {

namespace fs = std::filesystem;

// Is nobody, in any process, working on this file?
bool idle(const fs::path& path) {
  const auto fd = open_regular(path, false);
  return fd && try_lock(fd->get());
}

Result<void> refuse(const Error& problem) {
  return fail(ErrorCode::kConflict,
              fmt::format("nothing was collected, since a manifest cannot be read and its file would be lost; mend or "
                          "delete it first: {}",
                          problem.message));
}

}  // namespace

// One run of gc(). The caller holds the store's lock.
class Collection {
 public:
  Collection(ModelStore& store, const GcOptions& options) : store_(store), options_(options) {}

  Result<void> run();
  GcReport take() { return std::move(report_); }

 private:
  struct Need {
    ModelName name;
    std::string digits;  // of the version; empty: every version of the name
  };

  Result<void> look();
  Result<void> look_at_versions(const ModelName& name, bool has_tag);
  void need(std::string_view text);
  bool is_needed(const ModelName& name, const Digest& version) const;
  void use(const Manifest& manifest);
  void collect_versions();
  void collect_repositories();
  void collect_blobs();
  void collect_partial();
  void collect_temporaries();
  void drop(const fs::path& path, std::string_view kind, std::string name, std::uint64_t other_links = 0);

  ModelStore& store_;
  const GcOptions& options_;
  GcReport report_;
  std::vector<Need> needs_;
  std::set<Digest> used_;                 // blobs, and the digests of repositories
  std::set<fs::path> leaving_;            // version files
  std::map<ino_t, std::uint64_t> links_;  // of blobs from repositories that go
};

void Collection::drop(const fs::path& path, std::string_view kind, std::string name, std::uint64_t other_links) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return;
  if (!options_.dry_run && ::unlink(path.c_str()) != 0) return;
  ++report_.files;
  const bool last = S_ISREG(info.st_mode) && info.st_nlink <= 1 + (options_.dry_run ? other_links : 0);
  const std::uint64_t bytes = last ? static_cast<std::uint64_t>(info.st_size) : 0;
  report_.bytes += bytes;
  report_.items.push_back({std::string(kind), std::move(name), bytes});
}

void Collection::need(std::string_view text) {
  if (const auto blob = Digest::parse(text)) {
    used_.insert(*blob);
    return;
  }
  // "qwen3:8b#2" is a second engine of the same model.
  if (auto version = parse_version_ref(text.substr(0, text.find('#')))) {
    needs_.push_back({std::move(version->name), std::move(version->digits)});
  }
}

bool Collection::is_needed(const ModelName& name, const Digest& version) const {
  return std::ranges::any_of(
      needs_, [&](const Need& need) { return need.name == name && version.hex().starts_with(need.digits); });
}

void Collection::use(const Manifest& manifest) {
  used_.insert(manifest.digest);
  for (const auto& digest : manifest.blobs()) used_.insert(digest);
}

Result<void> Collection::look_at_versions(const ModelName& name, bool has_tag) {
  for (const auto& version : store_.version_digests(name)) {
    const fs::path file = store_.version_file(name, version);
    // Without its tag it is what a removal left that did not come to its end.
    if (!has_tag || (options_.versions && !is_needed(name, version))) {
      leaving_.insert(file);
      continue;
    }
    const auto manifest = store_.load_version(name, version);
    if (!manifest) return refuse(manifest.error());
    use(*manifest);
  }
  return {};
}

Result<void> Collection::look() {
  const auto listing = store_.list();
  if (!listing) return fail(listing.error());
  if (!listing->problems.empty()) return refuse(listing->problems.front());
  const auto aliases = store_.alias_records();
  if (!aliases) return refuse(aliases.error());
  for (const auto& key : options_.in_use) need(key);
  const auto need_targets = [&](const std::vector<AliasTarget>& targets) {
    for (const auto& target : targets) {
      if (target.model.contains('@')) need(target.model);
    }
  };
  for (const auto& [alias, record] : *aliases) {
    need_targets(record.targets);
    need_targets(record.shadow);
    for (const auto& change : record.history) need_targets(change.targets);
  }
  std::set<ModelName> tags;
  for (const auto& model : listing->models) {
    tags.insert(model.name);
    use(model);
    needs_.push_back({model.name, model.version().hex()});
    const auto tag = store_.load_tag(model.name);
    if (!tag) return refuse(tag.error());
    for (const auto& change : tag->history) needs_.push_back({model.name, change.version.hex()});
  }
  for (const auto& folder : entries_of(store_.root() / "versions")) {
    const auto name = decode_name(folder.filename().string());
    if (!name || !require_folder(folder)) continue;
    for (const auto& sub : entries_of(folder)) {
      const auto tag = parse_version(sub.filename().string());
      if (!tag || !require_folder(sub)) continue;
      const ModelName full{*name, *tag};
      if (auto ok = look_at_versions(full, tags.contains(full)); !ok) return ok;
    }
  }
  used_.merge(store_.pinned_blobs(!options_.partial_downloads));
  return {};
}

void Collection::collect_versions() {
  for (const auto& file : leaving_) {
    const fs::path folder = file.parent_path();
    const auto name = decode_name(folder.parent_path().filename().string());
    drop(file, "version",
         fmt::format("{}:{}@sha256:{}", name.value_or("?"), folder.filename().string(), file.stem().string()));
    if (options_.dry_run) continue;
    ::rmdir(folder.c_str());  // only if they are empty
    ::rmdir(folder.parent_path().c_str());
  }
}

void Collection::collect_repositories() {
  for (const auto& folder : entries_of(store_.root() / "repositories")) {
    const std::string name = folder.filename().string();
    const auto digest = Digest::parse("sha256:" + name);
    if (!name.starts_with(".tmp-") && (!digest || used_.contains(*digest))) continue;
    std::error_code error;
    for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      struct stat info{};
      if (::lstat(it->path().c_str(), &info) == 0 && S_ISREG(info.st_mode)) ++links_[info.st_ino];
    }
    if (!options_.dry_run) fs::remove_all(folder, error);
    report_.items.push_back({"repository", name, 0});
  }
}

void Collection::collect_blobs() {
  for (const auto& file : entries_of(store_.root() / "blobs")) {
    const std::string name = file.filename().string();
    // Only what this store could have made itself is ours to delete.
    if (!name.starts_with("sha256-")) continue;
    const auto digest = Digest::parse("sha256:" + name.substr(7));
    if (!digest || used_.contains(*digest)) continue;
    struct stat info{};
    const bool there = ::lstat(file.c_str(), &info) == 0;
    drop(file, "blob", digest->to_string(), there && links_.contains(info.st_ino) ? links_.at(info.st_ino) : 0);
  }
}

void Collection::collect_partial() {
  for (const auto& file : entries_of(store_.partial_directory())) {
    const std::string name = file.filename().string();
    if (name.starts_with("import-") && name.ends_with(".tmp")) {
      if (idle(file)) drop(file, "partial", name);
    } else if (options_.partial_downloads && (name.ends_with(".part") || name.ends_with(".pin")) && idle(file)) {
      drop(file, "partial", name);
      fs::path notes = file;
      if (name.ends_with(".part")) drop(notes.replace_extension(".json"), "partial", notes.filename().string());
    } else if (options_.partial_downloads && name.ends_with(".json")) {
      // Its file went into blobs/, and then something failed. Whoever downloads has the file before the notes.
      fs::path part = file;
      struct stat info{};
      if (::lstat(part.replace_extension(".part").c_str(), &info) != 0 && errno == ENOENT) drop(file, "partial", name);
    }
  }
}

// Leftovers of writes that a crash cut short; nobody else writes there while we hold the lock.
void Collection::collect_temporaries() {
  for (const auto* place : {"", "manifests", "versions", "partial"}) {
    std::vector<fs::path> found;
    std::error_code error;
    for (fs::recursive_directory_iterator it(store_.root() / place, error), end; !error && it != end;
         it.increment(error)) {
      if (*place == '\0') it.disable_recursion_pending();
      if (it->path().filename().string().starts_with(".tmp-")) found.push_back(it->path());
    }
    for (const auto& file : found) drop(file, "temporary", file.filename().string());
  }
}

Result<void> Collection::run() {
  if (auto ok = look(); !ok) return ok;
  collect_versions();
  collect_repositories();
  collect_blobs();
  collect_partial();
  collect_temporaries();
  return {};
}

Result<GcReport> ModelStore::gc(const GcOptions& options) {
  const auto held = lock();
  if (!held) return fail(held.error());
  Collection collection(*this, options);
  if (auto done = collection.run(); !done) return fail(std::move(done.error()));
  return collection.take();
}

Result<std::set<Digest>> ModelStore::used_blobs() const {
  const auto listing = list();
  if (!listing) return fail(listing.error());
  if (!listing->problems.empty()) return fail(listing->problems.front());
  std::set<Digest> used = pinned_blobs(true);
  for (const auto& model : listing->models) {
    const auto known = versions(model.name);
    if (!known) return fail(known.error());
    if (!known->problems.empty()) return fail(known->problems.front());
    for (const auto& version : known->versions) {
      for (const auto& digest : version.blobs()) used.insert(digest);
    }
  }
  return used;
}

}  // namespace llm::models
