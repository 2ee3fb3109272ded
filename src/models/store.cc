#include "models/store.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "base/strings.h"

namespace llm::models {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxManifestBytes = 4u << 20;
constexpr std::size_t kMaxAliasBytes = 4u << 20;
constexpr std::string_view kManifestSuffix = ".json";

// A folder, and not a symbolic link to one: what lies under the root must stay under the root.
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

Result<Manifest> load_manifest(const fs::path& file, const ModelName& expected) {
  const auto text = read_small_file(file, kMaxManifestBytes);
  if (!text) return fail(text.error());
  auto manifest = parse_manifest(*text);
  if (!manifest) {
    manifest.error().message = fmt::format("{}: {}", file.string(), manifest.error().message);
    return manifest;
  }
  if (manifest->name != expected) {
    return fail(ErrorCode::kMalformed, fmt::format("{}: the manifest is of another model, `{}`; import the model again",
                                                   file.string(), to_string(manifest->name)));
  }
  return manifest;
}

}  // namespace

Result<std::unique_ptr<ModelStore>> ModelStore::open(StoreSettings settings, FileSystem& files) {
  std::error_code error;
  fs::create_directories(settings.root, error);
  if (error) {
    return fail(errno_error(error.value(), fmt::format("cannot create the model store {}", settings.root.string())));
  }
  for (const auto* folder : {"blobs", "manifests", "partial"}) {
    if (auto made = make_folder(settings.root / folder); !made) return fail(std::move(made.error()));
  }
  return std::unique_ptr<ModelStore>(new ModelStore(std::move(settings), files));
}

fs::path ModelStore::blob_file(const Digest& digest) const {
  return settings_.root / "blobs" / digest.file_name();
}

fs::path ModelStore::manifest_file(const ModelName& name) const {
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
      auto manifest = load_manifest(file, {*name, *version});
      if (manifest) {
        listing.models.push_back(std::move(*manifest));
      } else if (manifest.error().code != ErrorCode::kNotFound) {  // kNotFound: removed while we looked
        listing.problems.push_back(std::move(manifest.error()));
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
  if (const auto all = aliases()) {
    for (const auto& [alias, target] : *all) known.push_back(alias);
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
  auto manifest = load_manifest(manifest_file(name), name);
  if (!manifest && manifest.error().code == ErrorCode::kNotFound) {
    return fail(not_found(name.version == kDefaultVersion ? name.name : to_string(name)));
  }
  return manifest;
}

Result<Manifest> ModelStore::find(std::string_view name_or_alias) const {
  const auto name = parse_model_name(name_or_alias);
  if (!name) return fail(name.error());
  if (name_or_alias.find(':') == std::string_view::npos) {
    if (const auto all = aliases()) {
      const auto alias = all->find(name->name);
      if (alias != all->end()) return find(alias->second);
    }
  }
  return find(*name);
}

Result<void> ModelStore::check_name(const ModelName& name, std::optional<std::uint64_t> size,
                                    const std::optional<Digest>& digest, bool replace) const {
  const auto all = aliases();
  if (!all) return fail(all.error());
  if (all->contains(name.name)) {
    return fail(ErrorCode::kConflict, fmt::format("`{}` is an alias for `{}`; choose another name or remove the alias",
                                                  name.name, to_string(all->at(name.name))));
  }
  if (replace) return {};
  const auto existing = load_manifest(manifest_file(name), name);
  if (!existing) return {};  // none, or one that cannot be read and is worth replacing
  if ((!size || existing->size == *size) && (!digest || *digest == existing->digest)) return {};
  return fail(ErrorCode::kAlreadyExists,
              fmt::format("model `{}` exists with another file ({}); remove it, replace it or give another version",
                          to_string(name), existing->digest.to_string()));
}

Result<void> ModelStore::write_manifest(const Manifest& manifest) {
  const fs::path file = manifest_file(manifest.name);
  if (auto made = make_folder(file.parent_path()); !made) return made;
  auto written = write_file_atomic(files_, file, json::write(to_json(manifest)));
  if (written) written = sync_directory(files_, file.parent_path().parent_path());
  if (!written) ::rmdir(file.parent_path().c_str());  // only if it is empty
  return written;
}

bool ModelStore::forget_manifest(const ModelName& name) {
  const fs::path file = manifest_file(name);
  if (::unlink(file.c_str()) != 0) return false;
  ::rmdir(file.parent_path().c_str());  // only if it is empty
  return true;
}

void ModelStore::drop_blob_if_unused(const Digest& digest) {
  const auto listing = list();
  // An unreadable manifest may be the one that names the blob: gc() decides once that is mended.
  if (!listing || !listing->problems.empty()) return;
  if (std::ranges::none_of(listing->models, [&](const Manifest& model) { return model.digest == digest; })) {
    ::unlink(blob_file(digest).c_str());
  }
}

Result<void> ModelStore::remove(const ModelName& name) {
  const auto held = lock();
  if (!held) return fail(held.error());
  const auto manifest = find(name);
  if (!manifest && manifest.error().code == ErrorCode::kNotFound) return fail(manifest.error());
  auto all = aliases();
  if (!all) return fail(std::move(all.error()));
  if (std::erase_if(*all, [&](const auto& entry) { return entry.second == name; }) > 0) {
    if (auto written = write_aliases(*all); !written) return written;
  }
  if (!forget_manifest(name)) {
    const int saved = errno;
    return fail(errno_error(saved, fmt::format("cannot remove {}", manifest_file(name).string())));
  }
  if (manifest) drop_blob_if_unused(manifest->digest);
  return sync_directory(files_, settings_.root / "manifests");
}

Result<Manifest> ModelStore::tag(const Manifest& from, const ModelName& name, bool replace) {
  const auto held = lock();
  if (!held) return fail(held.error());
  if (const auto path = blob_path(from.digest); !path) return fail(path.error());
  if (auto free = check_name(name, from.size, from.digest, replace); !free) return fail(std::move(free.error()));
  const auto old = load_manifest(manifest_file(name), name);
  Manifest manifest = from;
  manifest.name = name;
  manifest.created = rfc3339_now();
  if (auto written = write_manifest(manifest); !written) return fail(std::move(written.error()));
  if (old && old->digest != manifest.digest) drop_blob_if_unused(old->digest);
  return manifest;
}

Result<Manifest> ModelStore::set_settings(const ModelName& name, std::optional<json::object> settings) {
  const auto held = lock();
  if (!held) return fail(held.error());
  auto manifest = find(name);
  if (!manifest) return manifest;
  manifest->settings = std::move(settings);
  if (auto written = write_manifest(*manifest); !written) return fail(std::move(written.error()));
  return manifest;
}

Result<std::map<std::string, ModelName>> ModelStore::aliases() const {
  const fs::path file = settings_.root / "aliases.json";
  std::map<std::string, ModelName> all;
  const auto text = read_small_file(file, kMaxAliasBytes);
  if (!text && text.error().code == ErrorCode::kNotFound) return all;
  if (!text) return fail(text.error());
  const auto document = json::parse(*text);
  if (!document || !document->is_object()) {
    return fail(ErrorCode::kMalformed, fmt::format("{} is not a JSON object; mend or delete it{}{}", file.string(),
                                                   document ? "" : ": ", document ? "" : document.error().message));
  }
  for (const auto& [key, value] : document->get_object()) {
    auto alias = parse_plain_name(key);
    auto target = value.is_string() ? parse_model_name(value.get_string())
                                    : Result<ModelName>(fail(ErrorCode::kMalformed, "not a text"));
    if (!alias || !target) {
      return fail(ErrorCode::kMalformed,
                  fmt::format("{}: an entry is not of the form \"alias\": \"name:version\"; mend or delete the file",
                              file.string()));
    }
    all.emplace(std::move(*alias), std::move(*target));
  }
  return all;
}

Result<void> ModelStore::write_aliases(const std::map<std::string, ModelName>& aliases) {
  json::object document;
  for (const auto& [alias, target] : aliases) document[alias] = to_string(target);
  return write_file_atomic(files_, settings_.root / "aliases.json", json::write(document));
}

Result<void> ModelStore::set_alias(std::string_view alias, const ModelName& target) {
  auto name = parse_plain_name(alias);
  if (!name) return fail(std::move(name.error()));
  const auto held = lock();
  if (!held) return fail(held.error());
  if (const auto model = find(target); !model) return fail(model.error());
  const fs::path folder = settings_.root / "manifests" / encode_name(*name);
  if (!entries_of(folder).empty()) {
    return fail(ErrorCode::kConflict, fmt::format("`{}` is the name of a model; choose another alias", *name));
  }
  auto all = aliases();
  if (!all) return fail(std::move(all.error()));
  all->insert_or_assign(std::move(*name), target);
  return write_aliases(*all);
}

Result<void> ModelStore::remove_alias(std::string_view alias) {
  const auto name = parse_plain_name(alias);
  if (!name) return fail(name.error());
  const auto held = lock();
  if (!held) return fail(held.error());
  auto all = aliases();
  if (!all) return fail(std::move(all.error()));
  if (all->erase(*name) == 0) return fail(ErrorCode::kNotFound, fmt::format("no alias `{}`", *name));
  return write_aliases(*all);
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
