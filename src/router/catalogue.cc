#include "router/catalogue.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.h"
#include "engines/llama_server.h"

namespace llm::router {
namespace {

constexpr std::size_t kLongestShown = 200;  // bytes of a wrong name that a message repeats

// What clients see: the version only where it is not the default one.
std::string shown_name(const models::ModelName& name) {
  return name.version == models::kDefaultVersion ? name.name : models::to_string(name);
}

// Without a name to go by. Of an external model only its owner knows more than that it generates.
bool serves(const CatalogueEntry& entry, engines::EngineMode mode) {
  if (entry.spec->external) return mode == engines::EngineMode::kGeneration;
  return engines::effective_mode(entry.spec->settings, entry.spec->facts) == mode;
}

Error none_installed(const CatalogueSnapshot& snapshot, engines::EngineMode mode) {
  const std::string_view kind = snapshot.entries.empty()                  ? ""
                                : mode == engines::EngineMode::kEmbedding ? "embedding "
                                : mode == engines::EngineMode::kRerank    ? "reranking "
                                                                          : "generation ";
  return {
      ErrorCode::kNotFound,
      fmt::format("no {}model is installed; get one with `llm-mcp pull hf:owner/repo` or `llm-mcp import FILE`", kind),
      "/model",
      {},
      0};
}

Error not_installed(const std::string& name, const CatalogueSnapshot& snapshot) {
  const bool plausible = name.size() <= kLongestShown && valid_utf8(name);
  std::vector<std::string> near;
  if (plausible) {  // the search costs more the longer the name is
    std::vector<std::string> known;
    for (const auto& [key, entry] : snapshot.by_name) known.push_back(key);
    near = nearest(name, known);
  }
  const std::string shown = plausible ? fmt::format(" \"{}\"", name) : "";
  return {ErrorCode::kNotFound,
          fmt::format("model{} is not installed{}. See `llm-mcp list`; get it with `llm-mcp pull hf:owner/repo` "
                      "or `llm-mcp import FILE --name NAME`",
                      shown, near.empty() ? "" : fmt::format("; did you mean {}?", fmt::join(near, ", "))),
          "/model",
          {},
          0};
}

}  // namespace

Result<void> check_servable(const CatalogueEntry& entry) {
  const auto& spec = *entry.spec;
  if (!entry.external.empty() && !spec.external) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("model \"{}\" is served by the engine \"{}\", which engines.external does not list",
                            spec.model, entry.external));
  }
  if (!spec.external && spec.file.empty()) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("the file of model \"{}\" is missing from the store; remove the model and get it again",
                            spec.model));
  }
  return {};
}

Catalogue::Catalogue(models::ModelStore& store, BlockingPool& pool, CatalogueSettings settings)
    : store_(store), pool_(pool), settings_(std::move(settings)) {}

const engines::ModelSettings* Catalogue::settings_for(const models::ModelName& name) const {
  for (const auto& key : {models::to_string(name), name.name}) {
    if (const auto found = settings_.models.find(key); found != settings_.models.end()) return &found->second;
  }
  return nullptr;
}

Result<std::shared_ptr<const CatalogueSnapshot>> Catalogue::read() const {
  const auto begin = std::chrono::steady_clock::now();
  auto listing = store_.list();
  if (!listing) return fail(listing.error());
  auto aliases = store_.aliases();
  if (!aliases) return fail(aliases.error());
  auto snapshot = std::make_shared<CatalogueSnapshot>();
  snapshot->read_at = begin;
  const auto add = [&](std::shared_ptr<CatalogueEntry> entry, std::initializer_list<std::string> names) {
    snapshot->entries.push_back(entry);
    for (const auto& name : names) snapshot->by_name.emplace(name, entry);
  };
  for (auto& manifest : listing->models) {
    auto spec = std::make_shared<engines::EngineSpec>();
    spec->key = models::to_string(manifest.name);
    spec->model = shown_name(manifest.name);
    spec->facts = manifest.facts;
    if (const auto* settings = settings_for(manifest.name)) {
      spec->settings = *settings;
    } else if (manifest.settings) {
      if (auto own = json::decode<engines::ModelSettings>(*manifest.settings)) spec->settings = std::move(*own);
    }
    if (!spec->settings.engine.empty()) {
      if (const auto external = settings_.external.find(spec->settings.engine); external != settings_.external.end()) {
        spec->external = external->second;
      }
    } else if (auto path = store_.blob_path(manifest.digest)) {
      spec->file = std::move(*path);
    }
    auto entry = std::make_shared<CatalogueEntry>();
    const std::string key = spec->key;
    const std::string shown = spec->model;
    entry->external = spec->settings.engine;
    entry->spec = std::move(spec);
    entry->manifest = std::move(manifest);
    add(std::move(entry), {key, shown});
  }
  for (const auto& [engine, settings] : settings_.external) {
    for (const auto& model : settings.models) {
      auto spec = std::make_shared<engines::EngineSpec>();
      spec->key = engine + "/" + model;
      spec->model = model;
      spec->external = settings;
      auto entry = std::make_shared<CatalogueEntry>();
      entry->external = engine;
      const std::string key = spec->key;
      entry->spec = std::move(spec);
      add(std::move(entry), {key, model});
    }
  }
  for (const auto& [alias, target] : *aliases) {
    const auto entry = snapshot->by_name.find(models::to_string(target));
    if (entry == snapshot->by_name.end()) continue;
    snapshot->by_name.emplace(alias, entry->second);
    snapshot->aliases.emplace(alias, entry->first);
  }
  return std::shared_ptr<const CatalogueSnapshot>(std::move(snapshot));
}

std::shared_ptr<const CatalogueSnapshot> Catalogue::current() const {
  const std::lock_guard lock(mutex_);
  return snapshot_;
}

bool Catalogue::is_old(const CatalogueSnapshot& snapshot) const {
  return stale_.load(std::memory_order_acquire) || std::chrono::steady_clock::now() - snapshot.read_at > kRefresh;
}

// Does this request have to read the store? When the snapshot is merely old, the first one to notice does it and the
// others go on with what there is: otherwise all that arrive in that moment would queue for the same answer.
bool Catalogue::claim_refresh(const CatalogueSnapshot& snapshot) {
  if (stale_.load(std::memory_order_acquire)) return true;
  return is_old(snapshot) && !aged_refresh_.exchange(true, std::memory_order_acq_rel);
}

Task<Result<std::shared_ptr<const CatalogueSnapshot>>> Catalogue::refresh() {
  stale_.store(false, std::memory_order_release);
  auto snapshot = co_await pool_.run([this] { return read(); });
  aged_refresh_.store(false, std::memory_order_release);
  if (!snapshot) {
    stale_.store(true, std::memory_order_release);
    co_return snapshot;
  }
  const std::lock_guard lock(mutex_);
  // Two may read at once; the one that began later knows more.
  if (!snapshot_ || snapshot_->read_at <= (*snapshot)->read_at) snapshot_ = *snapshot;
  co_return snapshot;
}

Task<Result<std::shared_ptr<const CatalogueSnapshot>>> Catalogue::list(bool fresh) {
  auto snapshot = current();
  if (snapshot && !fresh && !is_old(*snapshot)) co_return snapshot;
  co_return co_await refresh();
}

std::shared_ptr<const CatalogueEntry> Catalogue::dynamic_external(std::string_view name) const {
  const auto slash = name.find('/');
  if (slash == std::string_view::npos || slash + 1 == name.size()) return nullptr;
  const auto engine = settings_.external.find(std::string(name.substr(0, slash)));
  if (engine == settings_.external.end()) return nullptr;
  auto spec = std::make_shared<engines::EngineSpec>();
  spec->key = name;
  spec->model = name.substr(slash + 1);
  spec->external = engine->second;
  auto entry = std::make_shared<CatalogueEntry>();
  entry->external = engine->first;
  entry->spec = std::move(spec);
  return entry;
}

std::shared_ptr<const CatalogueEntry> Catalogue::find(const CatalogueSnapshot& snapshot, std::string_view name) const {
  const auto found = snapshot.by_name.find(name);
  return found != snapshot.by_name.end() ? found->second : dynamic_external(name);
}

std::shared_ptr<const CatalogueEntry> Catalogue::choose(const CatalogueSnapshot& snapshot,
                                                        const DefaultChoice& choice) const {
  std::shared_ptr<const CatalogueEntry> configured;
  if (!settings_.default_model.empty()) {
    configured = find(snapshot, settings_.default_model);
    if (configured && serves(*configured, choice.mode)) return configured;
    // Whoever configured it wants to hear that it is not there.
    if (!configured && choice.mode == engines::EngineMode::kGeneration) return nullptr;
  }
  for (const auto& key : choice.loaded) {
    if (auto entry = find(snapshot, key); entry && serves(*entry, choice.mode)) return entry;
  }
  std::shared_ptr<const CatalogueEntry> smallest;
  for (const auto& entry : snapshot.entries) {
    if (entry->manifest.size == 0 || !serves(*entry, choice.mode)) continue;
    if (!smallest || entry->manifest.size < smallest->manifest.size) smallest = entry;
  }
  // What an external engine can do it tells by its answer.
  if (!smallest && configured && configured->spec->external) return configured;
  return smallest;
}

Task<Result<std::shared_ptr<const CatalogueEntry>>> Catalogue::resolve(std::string name, DefaultChoice choice) {
  auto snapshot = current();
  bool refreshed = false;
  while (true) {
    if (!snapshot || (!refreshed && claim_refresh(*snapshot))) {
      auto read = co_await refresh();
      if (!read) co_return fail(read.error());
      snapshot = *read;
      refreshed = true;
    }
    if (auto entry = name.empty() ? choose(*snapshot, choice) : find(*snapshot, name)) co_return entry;
    if (refreshed) break;
    auto read = co_await refresh();
    if (!read) co_return fail(read.error());
    snapshot = *read;
    refreshed = true;
  }
  if (name.empty() && choice.mode == engines::EngineMode::kGeneration) name = settings_.default_model;
  if (name.empty()) co_return fail(none_installed(*snapshot, choice.mode));
  co_return fail(not_installed(name, *snapshot));
}

}  // namespace llm::router
