#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/blocking_pool.h"
#include "async/task.h"
#include "engines/engine.h"
#include "engines/vllm/vllm_adapters.h"
#include "models/alias.h"
#include "models/store.h"

namespace llm::router {

struct CatalogueSettings {
  std::string default_model;  // used when a request names none and this one fits
  std::map<std::string, engines::ModelSettings> models;
  std::map<std::string, engines::ProviderSettings> external;  // those that are enabled
  std::map<std::string, engines::VllmSettings> vllm;
  const engines::VllmAdapters* adapters = nullptr;  // that vLLM engines have loaded; null: none. Outlives the catalogue
};

// One model that can be asked for.
struct CatalogueEntry {
  // The model, whatever its version and engine: "qwen3:8b", "<provider>/<model>". Rights, limits, metrics go by it.
  std::string name;
  std::shared_ptr<const engines::EngineSpec> spec;  // shared with the requests that use it
  models::Manifest manifest;                        // of local models
  std::string external;                             // name of the external engine that serves it, else empty
  // Equal engines that may serve it: its replicas. Never empty; `spec` is the first, but for a LoRA adapter, which has
  // a name of its own and its base model's engines.
  std::vector<std::shared_ptr<const engines::EngineSpec>> replicas;  // shared as `spec`
  std::string version;  // "qwen3:8b@sha256:…", what answers name; of models that are not in the store their name
};

// Is everything there to serve it? kUnavailable: its file is gone, or its engine is not configured.
Result<void> check_servable(const CatalogueEntry& entry);

// What stands behind a request that names no model: what it is for, and the keys of the engines that run, best first.
struct DefaultChoice {
  engines::EngineMode mode = engines::EngineMode::kGeneration;
  std::vector<std::string> loaded = {};
};

// All names at one moment. Immutable.
struct CatalogueSnapshot {
  std::vector<std::shared_ptr<const CatalogueEntry>> entries;  // by canonical name
  std::map<std::string, std::shared_ptr<const CatalogueEntry>, std::less<>>
      by_name;                                 // also aliases, with and without version
  std::map<std::string, std::string> aliases;  // alias -> canonical name of its (first) target
  std::map<std::string, models::Alias, std::less<>> alias_records;
  std::chrono::steady_clock::time_point read_at;
  std::uint64_t adapters = 0;  // VllmAdapters::version()
  std::uint64_t changes = 0;   // invalidate() calls that it knows of
};

// From the names that clients use to what serves them. Reads the model store on the blocking pool and keeps a snapshot,
// so that a request costs one look-up: names added by another process appear at once, removed ones go within kRefresh.
class Catalogue {
 public:
  static constexpr std::chrono::seconds kRefresh{2};

  Catalogue(models::ModelStore& store, BlockingPool& pool, CatalogueSettings settings);

  // The entry for a name, alias, name:tag, name:tag@sha256:<hex>, or <external engine>/<model>. An empty name means the
  // configured default if that serves `choice.mode`, else the first of `choice.loaded` that does, else the smallest
  // installed that does. kNotFound names the nearest models and how to get one; kInvalidArgument at /model if the text
  // is no name.
  Task<Result<std::shared_ptr<const CatalogueEntry>>> resolve(std::string name, DefaultChoice choice = {});

  // Everything, at most kRefresh old, or fresh.
  Task<Result<std::shared_ptr<const CatalogueSnapshot>>> list(bool fresh);

  // The alias of that name in what is known now, without reading the store; empty: none.
  std::optional<models::Alias> alias_now(std::string_view name) const;
  const CatalogueSettings& settings() const { return settings_; }

  // After a change made by this process: whatever is asked from now on knows of it. Any thread.
  void invalidate() { changes_.fetch_add(1, std::memory_order_acq_rel); }
  // Does what is known now lack a change of this process, or everything? Then list() comes before alias_now().
  bool must_read() const;

 private:
  Task<Result<std::shared_ptr<const CatalogueSnapshot>>> refresh();
  // catalogue_read.cc
  Result<std::shared_ptr<const CatalogueSnapshot>> read(std::uint64_t changes) const;
  std::shared_ptr<CatalogueEntry> entry_of(models::Manifest manifest) const;
  std::string engine_key(const models::Manifest& manifest) const;
  void add_aliases(CatalogueSnapshot& snapshot, std::map<std::string, models::Alias> records) const;
  void add_configured(CatalogueSnapshot& snapshot) const;
  std::optional<models::Manifest> served_by_vllm(const std::string& engine, std::string_view stored) const;
  std::shared_ptr<const CatalogueSnapshot> current() const;
  bool is_stale(const CatalogueSnapshot& snapshot) const;
  bool is_old(const CatalogueSnapshot& snapshot) const;
  bool claim_refresh(const CatalogueSnapshot& snapshot);
  std::shared_ptr<const CatalogueEntry> dynamic_external(std::string_view name) const;
  std::shared_ptr<const CatalogueEntry> find(const CatalogueSnapshot& snapshot, std::string_view name) const;
  std::shared_ptr<const CatalogueEntry> choose(const CatalogueSnapshot& snapshot, const DefaultChoice& choice) const;
  Task<std::shared_ptr<const CatalogueEntry>> find_version(std::string name);
  const engines::ModelSettings* settings_for(const models::ModelName& name) const;

  models::ModelStore& store_;
  BlockingPool& pool_;
  CatalogueSettings settings_;
  mutable std::mutex mutex_;
  std::shared_ptr<const CatalogueSnapshot> snapshot_;  // guarded; shared with readers
  // Versions that were asked for by their digests and that no tag stands for, since the last look into the store.
  std::map<std::string, std::shared_ptr<const CatalogueEntry>, std::less<>> pinned_;  // guarded
  // What each tag stood for when it was first seen. Its engine is called like the tag; what the tag stands for later
  // gets engines of its own, so that requests at work end with the version they began with, and going back costs no
  // load.
  mutable std::map<models::ModelName, std::string> first_seen_;  // guarded
  // What the vLLM engines with `model: store:…` serve, by entry: fixed at the first look, since an engine that runs
  // goes on with the folder it was started with, and two of one entry would fight for its container and its GPUs.
  mutable std::map<std::string, models::Manifest> served_by_vllm_;  // guarded
  std::atomic<std::uint64_t> changes_{0};
  std::atomic<bool> aged_refresh_{false};  // a request reads the store anew only because the snapshot is old
};

}  // namespace llm::router
