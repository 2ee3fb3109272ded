#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "json/json.h"
#include "models/alias.h"
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
  std::string revision = {};
  std::string creator = {};
  std::string notes = {};
};

struct Listing {
  std::vector<Manifest> models;  // what each tag stands for now; by name, then tag
  std::vector<Error> problems;   // manifests that cannot be read; everything else works on
};

// What a tag stood for until a change.
struct TagChange {
  std::string at;  // RFC 3339
  Digest version;
  friend bool operator==(const TagChange&, const TagChange&) = default;
};

inline constexpr std::size_t kLongestHistory = 20;  // changes that a tag and an alias remember

// All that is known of one tag.
struct VersionList {
  Manifest current;
  std::vector<Manifest> versions;  // also the current one; the newest first
  std::vector<TagChange> history;  // newest last
  std::vector<Error> problems;     // versions that cannot be read
};

struct GcOptions {
  bool partial_downloads = false;  // also downloads and imports that were cut and that nobody is working on
  bool versions = false;           // also versions that no tag, alias or history names
  bool dry_run = false;            // only say what would go
  // What engines have open: "name:tag" (any version of it), "name:tag@sha256:<hex>", also with "#2" after it, or the
  // digest of a blob. All of it stays.
  std::vector<std::string> in_use = {};
};

struct GcItem {
  std::string kind;  // "version", "blob", "repository", "partial", "temporary"
  std::string name;
  std::uint64_t bytes = 0;
};

struct GcReport {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::vector<GcItem> items;
};

// Keeps gc() away from blobs that no manifest names: those of a model that is on its way in or out, file by file. The
// pin is a locked file in partial/. One that was not released stays there without its lock, so that the work can be
// taken up again; gc() with partial_downloads ends that. Not thread-safe.
class BlobPin {
 public:
  BlobPin(BlobPin&& other) noexcept = default;
  BlobPin& operator=(BlobPin&& other) noexcept = default;
  const std::set<Digest>& digests() const { return digests_; }
  // No longer needed.
  void release();

 private:
  friend class ModelStore;
  BlobPin(std::filesystem::path path, UniqueFd lock, std::set<Digest> digests)
      : path_(std::move(path)), lock_(std::move(lock)), digests_(std::move(digests)) {}
  std::filesystem::path path_;
  UniqueFd lock_;
  std::set<Digest> digests_;
};

// Models on disk, content-addressed:
//
//   blobs/sha256-<hex>                  the files, each once however many names it has
//   manifests/<name>/<tag>.json         what a tag stands for now, and what it stood for; "/" in a name is written %2F
//   versions/<name>/<tag>/<hex>.json    all versions the tag has stood for, each immutable
//   aliases.json                        {"alias": models::Alias}
//   repositories/<hex>/                 links to the blobs of a repository, under the names its files have
//   partial/                            downloads, imports and pins under way
//   .lock                               held (flock) while any of that but partial/ changes
//
// Every change is one rename, so readers need no lock and a crash leaves at worst a file that gc() collects. Any thread
// may call anything; several processes may share a store. All calls block on the disk: run them on the blocking pool.
// A store of earlier gateways, without versions/ and with plain texts in aliases.json, is read as it is; what changes
// in it is written in the new form.
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
  // By alias (of several targets the first), by name with or without tag, or by version (`name:tag@sha256:<hex>`, at
  // least 12 digits). kNotFound names the nearest models and how to get more.
  Result<Manifest> find(std::string_view text) const;
  Result<Manifest> find(const ModelName& name) const;
  Result<Manifest> find(const VersionRef& version) const;
  Result<VersionList> versions(const ModelName& name) const;

  // The name with all its versions; blobs go too if nothing else refers to them. Aliases lose the targets of that name,
  // and go with the last one.
  Result<void> remove(const ModelName& name);
  // One version that is not the current one. kConflict names what still leads to it.
  Result<void> remove_version(const VersionRef& version);
  // Gives a blob that is already here another name. kNotFound if it is not; else as import_file.
  Result<Manifest> tag(const Manifest& from, const ModelName& name, bool replace);
  // Makes the manifest what its name stands for. All its blobs must be here; errors as of import_file.
  Result<Manifest> publish(const Manifest& manifest, bool replace);
  // New versions that differ in the free settings object, or in the notes.
  Result<Manifest> set_settings(const ModelName& name, std::optional<json::object> settings);
  Result<Manifest> set_notes(const ModelName& name, std::string notes);

  // Lets `to` stand for the version that `from` names (as find()). `to` is an alias, a model's name (with or without
  // tag), or a name that is neither: with a tag it becomes a name of the model, without one an alias.
  Result<Manifest> promote(std::string_view from, std::string_view to);
  // Back to what the tag or alias stood for before its last change; again goes back further. kConflict: there is
  // nothing before. Answers what it stands for now, of an alias its first target.
  Result<Manifest> rollback(std::string_view tag_or_alias);

  // An alias points to models or versions, never to an alias, and cannot hide a model's name.
  Result<void> set_alias(std::string_view alias, const ModelName& target);
  // Targets by weight (at least one above 0) and shadows (weights 0 to 1); at most 16 of each. The history is the
  // store's own: what `wanted` says of it is not looked at.
  Result<void> set_alias(std::string_view alias, Alias wanted);
  Result<void> remove_alias(std::string_view alias);
  Result<std::map<std::string, Alias>> alias_records() const;
  // The first targets, without their versions.
  Result<std::map<std::string, ModelName>> aliases() const;

  // The blob's path, after a look that it is a regular file inside blobs/ (no symbolic link on the way).
  Result<std::filesystem::path> blob_path(const Digest& digest) const;
  // Reads the whole blob again. kMalformed with both digests if it changed on disk.
  Result<void> verify(const Digest& digest, const ProgressCallback& progress, const std::atomic<bool>& cancelled) const;

  // Where the files of a repository lie under their own names, made if it is not there yet: what vLLM is pointed to.
  // kUnsupported for a GGUF model.
  Result<std::filesystem::path> repository_path(const Manifest& manifest);

  // Deletes what nothing refers to: blobs without a version, leftovers of crashed changes, and what the options say.
  // Refuses (kConflict) while a manifest is unreadable, since its blob would be lost.
  Result<GcReport> gc(const GcOptions& options = {});

  // A pin on blobs, there or still to come. `key`: what the work is called, the same when it is taken up again; it then
  // has the digests of both. kConflict: somebody else is at it.
  Result<BlobPin> pin(std::string_view key, std::set<Digest> digests);
  // Puts a file into blobs/ without giving it a name, after hashing it. kMalformed if it is not the expected one.
  Result<Digest> add_blob(BlobPin& pin, const std::filesystem::path& path, ImportMethod method,
                          const std::optional<Digest>& expected, const ProgressCallback& progress,
                          const std::atomic<bool>& cancelled);

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

  // What a tag's file holds.
  struct Tag {
    Manifest current;
    std::vector<TagChange> history;
  };

  ModelStore(StoreSettings settings, FileSystem& files) : settings_(std::move(settings)), files_(files) {}

  std::filesystem::path blob_file(const Digest& digest) const;
  std::filesystem::path tag_file(const ModelName& name) const;
  std::filesystem::path version_folder(const ModelName& name) const;
  std::filesystem::path version_file(const ModelName& name, const Digest& version) const;
  std::filesystem::path pin_file(std::string_view key) const;
  Result<UniqueFd> lock() const;
  Result<Staged> stage(const std::filesystem::path& path, const UniqueFd& source, ImportMethod method,
                       const ProgressCallback& progress, const std::atomic<bool>& cancelled);
  Result<Staged> create_staged(const std::filesystem::path* link_from);
  Result<Digest> fill(Staged& staged, const std::filesystem::path& path, int source, const ProgressCallback& progress,
                      const std::atomic<bool>& cancelled);
  Result<Digest> copy_and_hash(const Staged& staged, const std::filesystem::path& path, int source, std::uint64_t size,
                               const ProgressCallback& progress, const std::atomic<bool>& cancelled);
  Result<Manifest> publish_file(Staged& staged, const Manifest& manifest, bool replace);
  Result<Tag> load_tag(const ModelName& name) const;
  Result<Manifest> load_version(const ModelName& name, const Digest& version) const;
  std::vector<Digest> version_digests(const ModelName& name) const;

  // The caller holds the lock.
  Result<void> move_blob(Staged& staged);
  void forget_staged(Staged& staged, bool existed);
  // Makes `next` what its name stands for. Nothing changes if only times or creators differ, unless `exact`; the answer
  // is what the name stands for then.
  Result<Manifest> point_tag(Manifest next, bool exact = false);
  Result<void> write_tag(const Tag& tag);
  Result<void> write_version(const Manifest& manifest);
  Result<void> write_aliases(const std::map<std::string, Alias>& aliases);
  Result<void> change_alias(std::string_view alias, std::vector<AliasTarget> targets,
                            std::optional<std::vector<AliasTarget>> shadow);
  Result<void> take_from_aliases(const ModelName& name);
  Result<AliasTarget> checked_target(AliasTarget target) const;
  Result<Manifest> rollback_alias(const std::string& alias);
  bool is_model(std::string_view name) const;
  bool forget_tag(const ModelName& name);
  void forget_versions(const ModelName& name);
  Result<std::set<Digest>> used_blobs() const;
  std::set<Digest> pinned_blobs(bool idle_too) const;
  void drop_unused(const std::vector<Digest>& digests);
  Result<void> write_pin(BlobPin& pin);
  Result<void> make_repository(const Manifest& manifest, const std::filesystem::path& folder);
  Error not_found(std::string_view wanted) const;

  friend class Collection;  // store_gc.cc

  StoreSettings settings_;
  FileSystem& files_;
};

}  // namespace llm::models
