#include "router/catalogue.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.h"
#include "engines/llama_server.h"

namespace llm::router {
namespace {

constexpr std::size_t kLongestShown = 200;  // bytes of a wrong name that a message repeats

// Without a name to go by. Of an external model only its owner knows more than that it generates.
bool serves(const CatalogueEntry& entry, engines::EngineMode mode) {
  if (!entry.spec->embedded()) return mode == engines::EngineMode::kGeneration;
  if (entry.manifest.kind == models::ModelKind::kRepository) return false;  // llama.cpp does not read it
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
  if (!entry.external.empty() && spec.embedded()) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("model \"{}\" is served by the engine \"{}\", which the configuration does not list",
                            spec.model, entry.external));
  }
  if (spec.embedded() && entry.manifest.kind == models::ModelKind::kRepository) {
    return fail(
        ErrorCode::kUnsupported,
        fmt::format("model \"{0}\" is a whole Hugging Face repository, which llama.cpp does not read; give it to "
                    "vLLM (models.settings.{0}.engine: the name of an entry of engines.vllm) or pull a GGUF file of "
                    "it",
                    spec.model),
        "/model");
  }
  if (spec.embedded() && spec.file.empty()) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("the file of model \"{}\" is missing from the store; remove the model and get it again",
                            spec.model));
  }
  return {};
}

Catalogue::Catalogue(models::ModelStore& store, BlockingPool& pool, CatalogueSettings settings)
    : store_(store), pool_(pool), settings_(std::move(settings)) {}

std::optional<models::Alias> Catalogue::alias_now(std::string_view name) const {
  const auto snapshot = current();
  if (!snapshot) return std::nullopt;
  const auto found = snapshot->alias_records.find(name);
  return found == snapshot->alias_records.end() ? std::nullopt : std::optional(found->second);
}

std::shared_ptr<const CatalogueSnapshot> Catalogue::current() const {
  const std::lock_guard lock(mutex_);
  return snapshot_;
}

bool Catalogue::is_stale(const CatalogueSnapshot& snapshot) const {
  return snapshot.changes != changes_.load(std::memory_order_acquire);
}

bool Catalogue::must_read() const {
  const auto snapshot = current();
  return !snapshot || is_stale(*snapshot);
}

bool Catalogue::is_old(const CatalogueSnapshot& snapshot) const {
  if (settings_.adapters && settings_.adapters->version() != snapshot.adapters) return true;
  return is_stale(snapshot) || std::chrono::steady_clock::now() - snapshot.read_at > kRefresh;
}

// Does this request have to read the store? When the snapshot is merely old, the first one to notice does it and the
// others go on with what there is: otherwise all that arrive in that moment would queue for the same answer.
bool Catalogue::claim_refresh(const CatalogueSnapshot& snapshot) {
  if (is_stale(snapshot)) return true;
  return is_old(snapshot) && !aged_refresh_.exchange(true, std::memory_order_acq_rel);
}

Task<Result<std::shared_ptr<const CatalogueSnapshot>>> Catalogue::refresh() {
  const auto changes = changes_.load(std::memory_order_acquire);
  auto snapshot = co_await pool_.run([this, changes] { return read(changes); });
  aged_refresh_.store(false, std::memory_order_release);
  if (!snapshot) co_return snapshot;
  const std::lock_guard lock(mutex_);
  pinned_.clear();
  // Two may read at once; the one that began later knows more.
  if (!snapshot_ || snapshot_->read_at <= (*snapshot)->read_at) snapshot_ = *snapshot;
  co_return snapshot;
}

Task<Result<std::shared_ptr<const CatalogueSnapshot>>> Catalogue::list(bool fresh) {
  auto snapshot = current();
  if (snapshot && !fresh && !is_old(*snapshot)) co_return snapshot;
  co_return co_await refresh();
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
  if (!smallest && configured && !configured->spec->embedded()) return configured;
  return smallest;
}

// A version by its digest; null: there is none.
Task<std::shared_ptr<const CatalogueEntry>> Catalogue::find_version(std::string name) {
  const auto version = models::parse_version_ref(name);
  if (!version || version->digits.empty()) co_return nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = pinned_.find(name); known != pinned_.end()) co_return known->second;
  }
  auto manifest = co_await pool_.run([this, &version] { return store_.find(*version); });
  if (!manifest) co_return nullptr;
  std::shared_ptr<const CatalogueEntry> entry;
  if (const auto snapshot = current()) {
    const auto tagged = snapshot->by_name.find(models::to_string(manifest->name));
    const bool same = tagged != snapshot->by_name.end() && tagged->second->version == manifest->version_text();
    if (same) entry = tagged->second;
  }
  if (!entry) entry = co_await pool_.run([this, &manifest] { return entry_of(std::move(*manifest)); });
  const std::lock_guard lock(mutex_);
  co_return pinned_.try_emplace(std::move(name), std::move(entry)).first->second;
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
    if (name.contains('@')) {
      if (auto entry = co_await find_version(name)) co_return entry;
    }
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
