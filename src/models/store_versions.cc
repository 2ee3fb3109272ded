// Tags and the versions they stand for.
#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "models/store.h"
#include "models/store_files.h"

namespace llm::models {

namespace {

namespace fs = std::filesystem;

Error placed(Error error, const fs::path& file) {
  error.message = fmt::format("{}: {}", file.string(), error.message);
  return error;
}

Result<std::vector<TagChange>> read_history(const json::object& document) {
  std::vector<TagChange> history;
  const json::value* list = json::find(document, "history");
  if (list == nullptr) return history;
  if (!list->is_array()) return fail(ErrorCode::kMalformed, "`history` must be a list", "/history");
  for (const auto& item : list->get_array()) {
    auto digest = item.is_object() ? Digest::parse(json::string_or(item.get_object(), "version"))
                                   : Result<Digest>(fail(ErrorCode::kMalformed, "not an object"));
    if (!digest) return fail(ErrorCode::kMalformed, "`history` must name versions", "/history");
    history.push_back({std::string(json::string_or(item.get_object(), "at")), *digest});
  }
  return history;
}

// The same but for the time and who did it.
bool same_model(Manifest a, const Manifest& b) {
  a.created = b.created;
  a.creator = b.creator;
  return a.version() == b.version();
}

void remember(std::vector<TagChange>& history, const Digest& version) {
  history.push_back({rfc3339_now(), version});
  if (history.size() > kLongestHistory) history.erase(history.begin());
}

}  // namespace

fs::path ModelStore::version_folder(const ModelName& name) const {
  return settings_.root / "versions" / encode_name(name.name) / name.version;
}

fs::path ModelStore::version_file(const ModelName& name, const Digest& version) const {
  return version_folder(name) / (version.hex() + std::string(kManifestSuffix));
}

Result<ModelStore::Tag> ModelStore::load_tag(const ModelName& name) const {
  const fs::path file = tag_file(name);
  const auto text = read_small_file(file, kMaxManifestBytes);
  if (!text) return fail(text.error());
  auto manifest = parse_manifest(*text);
  if (!manifest) return fail(placed(std::move(manifest.error()), file));
  if (manifest->name != name) {
    return fail(ErrorCode::kMalformed, fmt::format("{}: the manifest is of another model, `{}`; import the model again",
                                                   file.string(), to_string(manifest->name)));
  }
  auto history = read_history(json::parse(*text)->get_object());
  if (!history) return fail(placed(std::move(history.error()), file));
  return Tag{std::move(*manifest), std::move(*history)};
}

Result<Manifest> ModelStore::load_version(const ModelName& name, const Digest& version) const {
  const fs::path file = version_file(name, version);
  const auto text = read_small_file(file, kMaxManifestBytes);
  if (!text) return fail(text.error());
  auto manifest = parse_manifest(*text);
  if (!manifest) return fail(placed(std::move(manifest.error()), file));
  if (manifest->name != name || manifest->version() != version) {
    return fail(
        ErrorCode::kMalformed,
        fmt::format("{} was changed: versions never change; remove it and import the model again", file.string()));
  }
  return manifest;
}

std::vector<Digest> ModelStore::version_digests(const ModelName& name) const {
  std::vector<Digest> found;
  for (const auto& file : entries_of(version_folder(name))) {
    const auto digest = Digest::parse("sha256:" + file.stem().string());
    if (digest && file.extension() == kManifestSuffix) found.push_back(*digest);
  }
  return found;
}

Result<Manifest> ModelStore::find(const VersionRef& wanted) const {
  if (wanted.digits.empty()) return find(wanted.name);
  auto current = find(wanted.name);
  if (!current) return current;
  std::vector<Digest> fitting;
  for (const auto& version : version_digests(wanted.name)) {
    if (version.hex().starts_with(wanted.digits)) fitting.push_back(version);
  }
  const Digest now = current->version();
  if (now.hex().starts_with(wanted.digits) && std::ranges::find(fitting, now) == fitting.end()) fitting.push_back(now);
  if (fitting.size() > 1) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("several versions of `{}` begin with these digits; give more of them", to_string(wanted.name)));
  }
  if (fitting.empty()) {
    return fail(ErrorCode::kNotFound, fmt::format("`{}` has no version {}; `llm-mcp versions {}` shows those it has",
                                                  to_string(wanted.name), wanted.digits, to_string(wanted.name)));
  }
  return fitting.front() == now ? current : load_version(wanted.name, fitting.front());
}

Result<VersionList> ModelStore::versions(const ModelName& name) const {
  auto tag = load_tag(name);
  if (!tag) return fail(find(name).error());
  VersionList list{std::move(tag->current), {}, std::move(tag->history), {}};
  const Digest now = list.current.version();
  list.versions.push_back(list.current);
  for (const auto& version : version_digests(name)) {
    if (version == now) continue;
    auto manifest = load_version(name, version);
    if (manifest) {
      list.versions.push_back(std::move(*manifest));
    } else if (manifest.error().code != ErrorCode::kNotFound) {
      list.problems.push_back(std::move(manifest.error()));
    }
  }
  // Times have seconds only: among equal ones the current version comes first.
  std::ranges::sort(list.versions, [&](const Manifest& a, const Manifest& b) {
    if (a.created != b.created) return a.created > b.created;
    return a.version() != b.version() && a.version() == now;
  });
  return list;
}

Result<void> ModelStore::write_version(const Manifest& manifest) {
  const fs::path file = version_file(manifest.name, manifest.version());
  const fs::path folder = file.parent_path();
  if (auto made = make_folder(folder.parent_path()); !made) return made;
  if (auto made = make_folder(folder); !made) return made;
  auto written = write_file_atomic(files_, file, json::write(to_json(manifest)));
  if (written) written = sync_directory(files_, folder.parent_path());
  if (written) written = sync_directory(files_, folder.parent_path().parent_path());
  if (!written) {  // only if they are empty
    ::rmdir(folder.c_str());
    ::rmdir(folder.parent_path().c_str());
  }
  return written;
}

Result<void> ModelStore::write_tag(const Tag& tag) {
  json::object document = to_json(tag.current);
  json::array history;
  for (const auto& change : tag.history) {
    history.push_back(json::object{{"at", change.at}, {"version", change.version.to_string()}});
  }
  if (!history.empty()) document["history"] = std::move(history);
  const fs::path file = tag_file(tag.current.name);
  if (auto made = make_folder(file.parent_path()); !made) return made;
  auto written = write_file_atomic(files_, file, json::write(document));
  if (written) written = sync_directory(files_, file.parent_path().parent_path());
  if (!written) ::rmdir(file.parent_path().c_str());  // only if it is empty
  return written;
}

void ModelStore::forget_versions(const ModelName& name) {
  const fs::path folder = version_folder(name);
  for (const auto& version : version_digests(name)) ::unlink(version_file(name, version).c_str());
  ::rmdir(folder.c_str());  // only if they are empty
  ::rmdir(folder.parent_path().c_str());
}

// The version comes first, then the tag that makes it current: a crash in between leaves a version nobody has heard of.
Result<Manifest> ModelStore::point_tag(Manifest next, bool exact) {
  const auto old = load_tag(next.name);
  Tag tag{std::move(next), {}};
  if (old) {
    tag.history = old->history;
    if (!exact && same_model(old->current, tag.current)) {
      tag.current.created = old->current.created;
      tag.current.creator = old->current.creator;
    }
    const Digest before = old->current.version();
    if (tag.current == old->current) return old->current;
    if (before != tag.current.version()) {
      // Of a store of an earlier gateway the version that goes has not been written yet.
      if (!load_version(tag.current.name, before)) {
        if (auto kept = write_version(old->current); !kept) return fail(std::move(kept.error()));
      }
      remember(tag.history, before);
    }
  }
  const Digest version = tag.current.version();
  const bool known = load_version(tag.current.name, version).has_value();
  auto written = write_version(tag.current);
  if (written) written = write_tag(tag);
  if (written) return std::move(tag.current);
  if (!old) forget_tag(tag.current.name);  // also when only the last flush failed: then it is there
  const auto now = load_tag(tag.current.name);
  if (!known && !(now && now->current.version() == version)) {
    ::unlink(version_file(tag.current.name, version).c_str());
    ::rmdir(version_folder(tag.current.name).c_str());  // only if they are empty
    ::rmdir(version_folder(tag.current.name).parent_path().c_str());
  }
  return fail(std::move(written.error()));
}

Result<Manifest> ModelStore::set_settings(const ModelName& name, std::optional<json::object> settings) {
  const auto held = lock();
  if (!held) return fail(held.error());
  auto manifest = find(name);
  if (!manifest) return manifest;
  manifest->settings = std::move(settings);
  manifest->created = rfc3339_now();
  return point_tag(std::move(*manifest));
}

Result<Manifest> ModelStore::set_notes(const ModelName& name, std::string notes) {
  const auto held = lock();
  if (!held) return fail(held.error());
  auto manifest = find(name);
  if (!manifest) return manifest;
  manifest->notes = std::move(notes);
  manifest->created = rfc3339_now();
  return point_tag(std::move(*manifest));
}

Result<Manifest> ModelStore::promote(std::string_view from, std::string_view to) {
  const auto held = lock();
  if (!held) return fail(held.error());
  auto source = find(from);
  if (!source) return source;
  const auto name = parse_model_name(to);
  if (!name) return fail(name.error());
  const auto all = alias_records();
  if (!all) return fail(all.error());
  const bool plain = to.find(':') == std::string_view::npos;
  if (!all->contains(name->name) && (!plain || is_model(name->name))) {
    source->name = *name;
    return point_tag(std::move(*source), true);
  }
  if (!plain) {
    return fail(ErrorCode::kConflict,
                fmt::format("`{}` is an alias; promote to it without a tag, or choose another name", name->name));
  }
  // What the alias leads to from now on must be there by its digest, whatever its name stands for tomorrow.
  if (!load_version(source->name, source->version())) {
    if (auto kept = write_version(*source); !kept) return fail(std::move(kept.error()));
  }
  if (auto ok = change_alias(name->name, {{source->version_text(), 1}}, std::nullopt); !ok) {
    return fail(std::move(ok.error()));
  }
  return source;
}

Result<Manifest> ModelStore::rollback(std::string_view tag_or_alias) {
  const auto held = lock();
  if (!held) return fail(held.error());
  const auto name = parse_model_name(tag_or_alias);
  if (!name) return fail(name.error());
  const auto all = alias_records();
  if (!all) return fail(all.error());
  if (all->contains(std::string(tag_or_alias))) return rollback_alias(name->name);
  auto tag = load_tag(*name);
  if (!tag) return fail(find(*name).error());
  if (tag->history.empty()) {
    return fail(ErrorCode::kConflict,
                fmt::format("`{}` has stood for nothing else: there is nothing to go back to", to_string(*name)));
  }
  auto before = load_version(*name, tag->history.back().version);
  if (!before) return before;
  // The version that goes stays, to be promoted again.
  if (!load_version(*name, tag->current.version())) {
    if (auto kept = write_version(tag->current); !kept) return fail(std::move(kept.error()));
  }
  tag->history.pop_back();
  tag->current = *before;
  if (auto written = write_tag(*tag); !written) return fail(std::move(written.error()));
  return before;
}

Result<void> ModelStore::remove_version(const VersionRef& wanted) {
  const auto held = lock();
  if (!held) return fail(held.error());
  auto tag = load_tag(wanted.name);
  if (!tag) return fail(find(wanted.name).error());
  const auto manifest = find(wanted);
  if (!manifest) return fail(manifest.error());
  const Digest version = manifest->version();
  const std::string text = manifest->version_text();
  if (version == tag->current.version()) {
    return fail(ErrorCode::kConflict, fmt::format("`{}` stands for this version now; promote another one first, or "
                                                  "remove `{}` with all its versions",
                                                  to_string(wanted.name), to_string(wanted.name)));
  }
  const auto all = alias_records();
  if (!all) return fail(all.error());
  for (const auto& [alias, record] : *all) {
    const auto leads = [&](const AliasTarget& target) { return target.model == text; };
    if (std::ranges::any_of(record.targets, leads) || std::ranges::any_of(record.shadow, leads)) {
      return fail(ErrorCode::kConflict, fmt::format("the alias `{}` leads to this version; change it first", alias));
    }
  }
  if (std::erase_if(tag->history, [&](const TagChange& change) { return change.version == version; }) > 0) {
    if (auto written = write_tag(*tag); !written) return written;
  }
  if (::unlink(version_file(wanted.name, version).c_str()) != 0) {
    const int saved = errno;
    return fail(errno_error(saved, fmt::format("cannot remove {}", text)));
  }
  drop_unused(manifest->blobs());
  return {};
}

}  // namespace llm::models
