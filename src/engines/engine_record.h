#pragma once
// For the supervisor's own files only.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "async/cancel.h"
#include "async/watch.h"
#include "engines/engine.h"
#include "engines/supervisor.h"

namespace llm::engines {

// One engine, loaded or not. Who may touch what: "guarded" fields under `*guard`, "control" fields on the control loop.
struct Engine {
  Engine(std::shared_ptr<const EngineSpec> engine_spec, std::shared_ptr<std::mutex> mutex, json::Duration keep_loaded)
      : key(engine_spec->key),
        external(engine_spec->external.has_value()),
        guard(std::move(mutex)),
        spec(std::move(engine_spec)),
        default_keep_alive(keep_loaded) {}

  const std::string key;
  const bool external;
  const std::shared_ptr<std::mutex> guard;  // shared: a lease may outlive the supervisor
  Watch<EngineStatus> status;               // thread-safe by itself

  std::shared_ptr<const EngineSpec> spec;             // guarded; shared with the requests that brought it
  std::shared_ptr<const EngineInfo> info;             // guarded; of the running engine
  json::Duration default_keep_alive;                  // guarded
  std::optional<json::Duration> asked_keep_alive;     // guarded; what a request asked for, until the engine stops
  std::size_t in_flight = 0;                          // guarded: leases
  std::size_t waiting = 0;                            // guarded: callers that wait for a lease
  std::chrono::steady_clock::time_point last_used{};  // guarded
  bool leasable = false;                              // guarded: ready and not about to stop
  std::uint64_t estimate = 0;                         // guarded, bytes
  std::uint64_t used = 0;                             // guarded, bytes
  std::uint32_t restarts = 0;                         // guarded
  std::shared_ptr<const EngineInfo> crashed;          // guarded; identifies the life that ended by itself,
  Error crash;                                        // guarded; and why

  std::unique_ptr<Driver> driver;     // control; of a starting, ready or stopping engine
  std::vector<std::string> last_log;  // control; of the driver before
  CancelSource start_cancel;          // control
  std::uint64_t attempt = 0;          // control; counts loads: what belongs to an older one comes too late
  std::chrono::steady_clock::time_point ready_since{};  // control

  // The caller holds the lock.
  json::Duration keep_alive() const {
    return asked_keep_alive.value_or(spec->settings.keep_alive.value_or(default_keep_alive));
  }
  bool idle() const { return leasable && in_flight == 0 && waiting == 0; }
};

}  // namespace llm::engines
