#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "json/json.h"
#include "models/digest.h"
#include "models/file_system.h"
#include "models/manifest.h"
#include "models/name.h"
#include "models/progress.h"

namespace llm::models {

struct StoreSettings {
  std::filesystem::path root;               // created if missing
  std::uint64_t reserve_bytes = 64u << 20;  // disk space that an import or a pull leaves free
};

enum class ImportMethod {
  kCopy,      // shares blocks where the file system can (reflink), copies otherwise
  kHardlink,  // same blocks, no copy; the file must not be changed afterwards. Copies across file systems
  kMove,      // the source file is gone afterwards
};

struct ImportOptions {
  ImportMethod method = ImportMethod::kCopy;
  std::optional<Digest> expected_digest = std::nullopt;  // refuse the file if it is another one
  bool replace = false;      // let the name point to this file even if it points to another one now
  std::string source = {};   // for the manifest; default: the file's name
  std::string license = {};  // used if the file names none
  std::optional<json::object> settings = std::nullopt;
};

struct Listing {
  std::vector<Manifest> models;  // by name, then version
  std::vector<Error> problems;   // manifests that cannot be read; everything else works on
};

struct GcReport {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};

// Models on disk, content-addressed:
//
//   blobs/sha256-<hex>                  the GGUF files, each once however many names it has
//   manifests/<name>/<version>.json     one per model version; "/" in a name is written %2F
//   aliases.json                        {"alias": "name:version"}
//   partial/                            downloads and imports under way
//   .lock                               held (flock) while manifests, aliases and blobs change
//
// Every change is one rename, so readers need no lock and a crash leaves at worst a file that gc() collects. Any thread
// may call anything; several processes may share a store. All calls block on the disk: run them on the blocking pool.
class ModelStore {
 public:
  static Result<std::unique_ptr<ModelStore>> open(StoreSettings settings, FileSystem& files = real_file_system());
  ModelStore(const ModelStore&) = delete;
  ModelStore& operator=(const ModelStore&) = delete;

  // Checks the file (a corrupt or truncated GGUF, a shard, an adapter are refused and nothing is kept), hashes it and
  // makes it the model `name`. kAlreadyExists if the name has another file and `replace` is off; kConflict if the name
  // is an alias; kDiskFull before anything is written; kCancelled within one MiB of work.
  Result<Manifest> import_file(const std::filesystem::path& path, const ModelName& name, const ImportOptions& options,
                               const ProgressCallback& progress, const std::atomic<bool>& cancelled);

  // Would import_file accept this name for a file of this size and digest (as far as they are known)? For asking
  // before a long download.
  Result<void> check_name(const ModelName& name, std::optional<std::uint64_t> size, const std::optional<Digest>& digest,
                          bool replace) const;

  Result<Listing> list() const;
  // By alias, or by name with or without version. kNotFound names the nearest models and how to get more.
  Result<Manifest> find(std::string_view name_or_alias) const;
  Result<Manifest> find(const ModelName& name) const;

  // The blob goes too if nothing else refers to it; aliases to the version go with it.
  Result<void> remove(const ModelName& name);
  // Gives a blob that is already here another name. kNotFound if it is not; else as import_file.
  Result<Manifest> tag(const Manifest& from, const ModelName& name, bool replace);
  // Replaces the free settings object of a model.
  Result<Manifest> set_settings(const ModelName& name, std::optional<json::object> settings);

  // An alias points to a model, never to an alias, and cannot hide a model's name.
  Result<void> set_alias(std::string_view alias, const ModelName& target);
  Result<void> remove_alias(std::string_view alias);
  Result<std::map<std::string, ModelName>> aliases() const;

  // The blob's path, after a look that it is a regular file inside blobs/ (no symbolic link on the way).
  Result<std::filesystem::path> blob_path(const Digest& digest) const;
  // Reads the whole blob again. kMalformed with both digests if it changed on disk.
  Result<void> verify(const Digest& digest, const ProgressCallback& progress, const std::atomic<bool>& cancelled) const;

  // Deletes blobs that no manifest names and leftovers of crashed imports; with `partial_downloads` also downloads that
  // nobody is working on. Refuses (kConflict) while a manifest is unreadable, since its blob would be lost.
  Result<GcReport> gc(bool partial_downloads = false);

  const std::filesystem::path& root() const { return settings_.root; }
  std::filesystem::path partial_directory() const { return settings_.root / "partial"; }
  const StoreSettings& settings() const { return settings_; }
  FileSystem& files() const { return files_; }

 private:
  // A checked and hashed file on its way into blobs/.
  struct Staged {
    std::filesystem::path path;
    bool temporary = false;  // ours, in partial/: deleted unless published. Else the source itself, about to be moved
    UniqueFd fd;             // of `path`; a temporary one is also locked, which tells gc() that somebody works on it
    Digest digest;

    Staged() = default;
    Staged(Staged&& other) noexcept
        : path(std::move(other.path)),
          temporary(std::exchange(other.temporary, false)),
          fd(std::move(other.fd)),
          digest(other.digest) {}
    Staged& operator=(Staged&&) = delete;
    ~Staged();
  };

  ModelStore(StoreSettings settings, FileSystem& files) : settings_(std::move(settings)), files_(files) {}

  std::filesystem::path blob_file(const Digest& digest) const;
  std::filesystem::path manifest_file(const ModelName& name) const;
  Result<UniqueFd> lock() const;
  Result<Staged> stage(const std::filesystem::path& path, const UniqueFd& source, const ImportOptions& options,
                       const ProgressCallback& progress, const std::atomic<bool>& cancelled);
  Result<Staged> create_staged(const std::filesystem::path* link_from);
  Result<Digest> fill(Staged& staged, const std::filesystem::path& path, int source, const ProgressCallback& progress,
                      const std::atomic<bool>& cancelled);
  Result<Digest> copy_and_hash(const Staged& staged, const std::filesystem::path& path, int source, std::uint64_t size,
                               const ProgressCallback& progress, const std::atomic<bool>& cancelled);
  Result<void> publish(Staged& staged, const Manifest& manifest, bool replace);
  // The caller holds the lock.
  Result<void> write_manifest(const Manifest& manifest);
  Result<void> write_aliases(const std::map<std::string, ModelName>& aliases);
  bool forget_manifest(const ModelName& name);
  Result<void> put_blob_in_place(Staged& staged, const Manifest& manifest);
  void drop_blob_if_unused(const Digest& digest);
  void collect_partial(bool downloads, GcReport& report);
  Error not_found(std::string_view wanted) const;

  StoreSettings settings_;
  FileSystem& files_;
};

}  // namespace llm::models
