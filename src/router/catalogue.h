#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "async/blocking_pool.h"
#include "async/task.h"
#include "engines/engine.h"
#include "models/store.h"

namespace llm::router {

struct CatalogueSettings {
  std::string default_model;  // used when a request names none and this one fits
  std::map<std::string, engines::ModelSettings> models;
  std::map<std::string, engines::ExternalSettings> external;
};

// One model that can be asked for.
struct CatalogueEntry {
  std::shared_ptr<const engines::EngineSpec> spec;  // shared with the requests that use it
  models::Manifest manifest;                        // of local models
  std::string external;                             // name of the external engine that serves it, else empty
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
  std::map<std::string, std::string> aliases;  // alias -> canonical name
  std::chrono::steady_clock::time_point read_at;
};

// From the names that clients use to what serves them. Reads the model store on the blocking pool and keeps a snapshot,
// so that a request costs one look-up: names added by another process appear at once, removed ones go within kRefresh.
class Catalogue {
 public:
  static constexpr std::chrono::seconds kRefresh{2};

  Catalogue(models::ModelStore& store, BlockingPool& pool, CatalogueSettings settings);

  // The entry for a name, alias, name:version, or <external engine>/<model>. An empty name means the configured default
  // if that serves `choice.mode`, else the first of `choice.loaded` that does, else the smallest installed that does.
  // kNotFound names the nearest models and how to get one; kInvalidArgument at /model if the text is no name.
  Task<Result<std::shared_ptr<const CatalogueEntry>>> resolve(std::string name, DefaultChoice choice = {});

  // Everything, at most kRefresh old, or fresh.
  Task<Result<std::shared_ptr<const CatalogueSnapshot>>> list(bool fresh);

  // After a change made by this process. Any thread.
  void invalidate() { stale_.store(true, std::memory_order_release); }

 private:
  Task<Result<std::shared_ptr<const CatalogueSnapshot>>> refresh();
  Result<std::shared_ptr<const CatalogueSnapshot>> read() const;
  std::shared_ptr<const CatalogueSnapshot> current() const;
  bool is_old(const CatalogueSnapshot& snapshot) const;
  bool claim_refresh(const CatalogueSnapshot& snapshot);
  std::shared_ptr<const CatalogueEntry> dynamic_external(std::string_view name) const;
  std::shared_ptr<const CatalogueEntry> find(const CatalogueSnapshot& snapshot, std::string_view name) const;
  std::shared_ptr<const CatalogueEntry> choose(const CatalogueSnapshot& snapshot, const DefaultChoice& choice) const;
  const engines::ModelSettings* settings_for(const models::ModelName& name) const;

  models::ModelStore& store_;
  BlockingPool& pool_;
  CatalogueSettings settings_;
  mutable std::mutex mutex_;
  std::shared_ptr<const CatalogueSnapshot> snapshot_;  // guarded; shared with readers
  std::atomic<bool> stale_{true};
  std::atomic<bool> aged_refresh_{false};  // a request reads the store anew only because the snapshot is old
};

}  // namespace llm::router
