#include "models/store.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "base/strings.h"
#include "models/store_files.h"

namespace llm::models {

namespace fs = std::filesystem;

Result<std::unique_ptr<ModelStore>> ModelStore::open(StoreSettings settings, FileSystem& files) {
  std::error_code error;
  fs::create_directories(settings.root, error);
  if (error) {
    return fail(errno_error(error.value(), fmt::format("cannot create the model store {}", settings.root.string())));
  }
  for (const auto* folder : {"blobs", "manifests", "versions", "repositories", "partial"}) {
    if (auto made = make_folder(settings.root / folder); !made) return fail(std::move(made.error()));
  }
  return std::unique_ptr<ModelStore>(new ModelStore(std::move(settings), files));
}

fs::path ModelStore::blob_file(const Digest& digest) const {
  return settings_.root / "blobs" / digest.file_name();
}

fs::path ModelStore::tag_file(const ModelName& name) const {
  return settings_.root / "manifests" / encode_name(name.name) / (name.version + std::string(kManifestSuffix));
}

Result<UniqueFd> ModelStore::lock() const {
  return lock_file(settings_.root / ".lock");
}

Result<Listing> ModelStore::list() const {
  if (auto ok = require_folder(settings_.root / "manifests"); !ok) return fail(std::move(ok.error()));
  Listing listing;
  for (const auto& folder : entries_of(settings_.root / "manifests")) {
    const auto name = decode_name(folder.filename().string());
    if (!name || !require_folder(folder)) continue;
    for (const auto& file : entries_of(folder)) {
      const std::string file_name = file.filename().string();
      if (!file_name.ends_with(kManifestSuffix)) continue;
      const auto version = parse_version(file_name.substr(0, file_name.size() - kManifestSuffix.size()));
      if (!version) continue;
      auto tag = load_tag({*name, *version});
      if (tag) {
        listing.models.push_back(std::move(tag->current));
      } else if (tag.error().code != ErrorCode::kNotFound) {  // kNotFound: removed while we looked
        listing.problems.push_back(std::move(tag.error()));
      }
    }
  }
  std::ranges::sort(listing.models, {}, &Manifest::name);
  return listing;
}

Error ModelStore::not_found(std::string_view wanted) const {
  std::vector<std::string> known;
  if (const auto listing = list()) {
    for (const auto& model : listing->models) {
      known.push_back(model.name.version == kDefaultVersion ? model.name.name : to_string(model.name));
    }
  }
  if (const auto all = alias_records()) {
    for (const auto& [alias, record] : *all) known.push_back(alias);
  }
  const auto close = nearest(wanted, known);
  const std::string hint = !close.empty()  ? fmt::format("did you mean `{}`?", fmt::join(close, "` or `"))
                           : known.empty() ? std::string("no model is installed yet.")
                                           : std::string("`llm-mcp list` shows what is installed.");
  return {ErrorCode::kNotFound,
          fmt::format("no model `{}`; {} Get one with `llm-mcp pull hf:OWNER/REPO` or `llm-mcp import FILE.gguf`",
                      wanted, hint),
          {},
          {},
          0};
}

Result<Manifest> ModelStore::find(const ModelName& name) const {
  auto tag = load_tag(name);
  if (tag) return std::move(tag->current);
  if (tag.error().code == ErrorCode::kNotFound) {
    return fail(not_found(name.version == kDefaultVersion ? name.name : to_string(name)));
  }
  return fail(std::move(tag.error()));
}

Result<Manifest> ModelStore::find(std::string_view text) const {
  const auto version = parse_version_ref(text);
  if (!version) return fail(version.error());
  if (text.find_first_of(":@") == std::string_view::npos) {
    if (const auto all = alias_records()) {
      const auto alias = all->find(version->name.name);
      if (alias != all->end()) {
        const auto target = parse_version_ref(alias->second.targets.front().model);
        return target ? find(*target) : Result<Manifest>(fail(target.error()));
      }
    }
  }
  return find(*version);
}

bool ModelStore::is_model(std::string_view name) const {
  return !entries_of(settings_.root / "manifests" / encode_name(name)).empty();
}

Result<void> ModelStore::check_name(const ModelName& name, std::optional<std::uint64_t> size,
                                    const std::optional<Digest>& digest, bool replace) const {
  const auto all = alias_records();
  if (!all) return fail(all.error());
  if (const auto alias = all->find(name.name); alias != all->end()) {
    return fail(ErrorCode::kConflict, fmt::format("`{}` is an alias for `{}`; choose another name or remove the alias",
                                                  name.name, alias->second.targets.front().model));
  }
  if (replace) return {};
  const auto existing = load_tag(name);
  if (!existing) return {};  // none, or one that cannot be read and is worth replacing
  const Manifest& current = existing->current;
  if ((!size || current.size == *size) && (!digest || *digest == current.digest)) return {};
  return fail(ErrorCode::kAlreadyExists,
              fmt::format("model `{}` exists with another file ({}); remove it, replace it or give another version",
                          to_string(name), current.digest.to_string()));
}

bool ModelStore::forget_tag(const ModelName& name) {
  const fs::path file = tag_file(name);
  if (::unlink(file.c_str()) != 0) return false;
  ::rmdir(file.parent_path().c_str());  // only if it is empty
  return true;
}

void ModelStore::drop_unused(const std::vector<Digest>& digests) {
  // An unreadable manifest may be the one that names a blob: gc() decides once that is mended.
  const auto used = used_blobs();
  if (!used) return;
  for (const auto& digest : digests) {
    if (!used->contains(digest)) ::unlink(blob_file(digest).c_str());
  }
}

Result<void> ModelStore::remove(const ModelName& name) {
  const auto held = lock();
  if (!held) return fail(held.error());
  const auto known = load_tag(name);
  if (!known && known.error().code == ErrorCode::kNotFound) return fail(find(name).error());
  std::vector<Digest> blobs;
  if (known) blobs = known->current.blobs();
  for (const auto& version : version_digests(name)) {
    const auto manifest = load_version(name, version);
    if (!manifest) continue;
    const auto more = manifest->blobs();
    blobs.insert(blobs.end(), more.begin(), more.end());
  }
  if (auto ok = take_from_aliases(name); !ok) return ok;
  if (!forget_tag(name)) {
    const int saved = errno;
    return fail(errno_error(saved, fmt::format("cannot remove {}", tag_file(name).string())));
  }
  forget_versions(name);
  drop_unused(blobs);
  return sync_directory(files_, settings_.root / "manifests");
}

Result<Manifest> ModelStore::publish(const Manifest& manifest, bool replace) {
  const auto held = lock();
  if (!held) return fail(held.error());
  for (const auto& digest : manifest.blobs()) {
    if (const auto path = blob_path(digest); !path) return fail(path.error());
  }
  if (auto free = check_name(manifest.name, manifest.size, manifest.digest, replace); !free) {
    return fail(std::move(free.error()));
  }
  return point_tag(manifest);
}

Result<Manifest> ModelStore::tag(const Manifest& from, const ModelName& name, bool replace) {
  Manifest manifest = from;
  manifest.name = name;
  manifest.created = rfc3339_now();
  return publish(manifest, replace);
}

Result<fs::path> ModelStore::blob_path(const Digest& digest) const {
  if (auto ok = require_folder(settings_.root / "blobs"); !ok) return fail(std::move(ok.error()));
  fs::path path = blob_file(digest);
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) {
      return fail(ErrorCode::kNotFound, fmt::format("the file of {} is missing from {}; pull or import the model again",
                                                    digest.to_string(), (settings_.root / "blobs").string()));
    }
    const int saved = errno;
    return fail(errno_error(saved, fmt::format("cannot use {}", path.string())));
  }
  if (!S_ISREG(info.st_mode)) {
    return fail(ErrorCode::kIo,
                fmt::format("{} is not a regular file; remove it and pull or import the model again", path.string()));
  }
  return path;
}

Result<void> ModelStore::verify(const Digest& digest, const ProgressCallback& progress,
                                const std::atomic<bool>& cancelled) const {
  const auto path = blob_path(digest);
  if (!path) return fail(path.error());
  const auto fd = open_regular(*path, false);
  if (!fd) return fail(fd.error());
  const auto actual = hash_file(fd->get(), *path, progress, cancelled);
  if (!actual) return fail(actual.error());
  if (*actual == digest) return {};
  return fail(ErrorCode::kMalformed,
              fmt::format("{} changed on disk: expected {}, found {}; remove the model and pull or import it again",
                          path->string(), digest.to_string(), actual->to_string()));
}

}  // namespace llm::models
