#pragma once
// For the supervisor's own files only.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "async/cancel.h"
#include "async/watch.h"
#include "engines/engine.h"
#include "engines/memory_planner.h"
#include "engines/supervisor.h"

namespace llm::engines {

// One driver from its start to its end, and what it was started with. Control loop.
struct EngineLife {
  std::unique_ptr<Driver> driver;
  PlannedLoad load;
  MemoryDemand peak;           // the most that was measured
  CancelSource over;           // a command under way has to end
  bool commanded = false;      // a command is under way
  Watch<int> quiet;            // changes when one has ended
  std::optional<Error> ended;  // it ended by itself while it fell asleep or woke up
};

// One engine, loaded or not. Who may touch what: "guarded" fields under `*guard`, "control" fields on the control loop.
struct Engine {
  using TimePoint = std::chrono::steady_clock::time_point;

  Engine(std::shared_ptr<const EngineSpec> engine_spec, std::shared_ptr<std::mutex> mutex,
         std::shared_ptr<Watch<int>> room_changes, json::Duration keep_loaded, std::function<TimePoint()> clock)
      : key(engine_spec->key),
        external(engine_spec->external.has_value()),
        guard(std::move(mutex)),
        room(std::move(room_changes)),
        now(std::move(clock)),
        spec(std::move(engine_spec)),
        default_keep_alive(keep_loaded) {}

  const std::string key;
  const bool external;
  const std::shared_ptr<std::mutex> guard;  // shared: a lease may outlive the supervisor
  const std::shared_ptr<Watch<int>> room;   // shared likewise; wakes the loads that wait for memory
  const std::function<TimePoint()> now;
  Watch<EngineStatus> status;  // thread-safe by itself

  std::shared_ptr<const EngineSpec> spec;          // guarded; shared with the requests that brought it
  std::shared_ptr<const EngineInfo> info;          // guarded; of the running engine
  json::Duration default_keep_alive;               // guarded
  std::optional<json::Duration> asked_keep_alive;  // guarded; what a request asked for, until the engine stops
  std::size_t in_flight = 0;                       // guarded: leases
  std::set<std::uint64_t> waiters;                 // guarded: arrival numbers of callers that wait for a lease
  TimePoint last_used{};                           // guarded
  TimePoint ready_since{};                         // guarded
  bool leasable = false;                           // guarded: ready and not about to stop
  std::optional<std::uint64_t> fence;              // guarded: only who came before this number gets a lease
  bool leaving = false;                            // guarded: somebody stops it or puts it to sleep
  bool needs_room = false;                         // guarded: its load waits for memory
  bool served = false;                             // guarded: this life has had a lease
  MemoryPlan memory;                               // guarded; of the load
  MemoryDemand measured;                           // guarded
  std::vector<std::uint32_t> gpus;                 // guarded
  std::uint32_t restarts = 0;                      // guarded
  std::shared_ptr<const EngineInfo> crashed;       // guarded; identifies the life that ended by itself,
  Error crash;                                     // guarded; and why

  std::shared_ptr<EngineLife> life;   // control; shared with the commands under way. Starting, ready, asleep, stopping
  std::vector<std::string> last_log;  // control; of the life before
  CancelSource start_cancel;          // control
  std::uint64_t attempt = 0;          // control; counts loads and awakenings
  std::uint64_t arrival = 0;          // control; the load's place among those that wait for memory
  bool wanted_alone = false;          // control; the load goes on although no request waits for it

  // The caller holds the lock.
  json::Duration keep_alive() const {
    if (asked_keep_alive) return *asked_keep_alive;
    if (spec->settings.keep_alive) return *spec->settings.keep_alive;
    if (spec->vllm) return spec->vllm->keep_alive.value_or(json::Duration{json::Duration::kNever});
    return default_keep_alive;
  }
  bool pinned() const { return spec->settings.pinned || (spec->vllm && spec->vllm->pinned); }
  std::int32_t priority() const { return spec->vllm ? spec->vllm->priority : spec->settings.priority; }
  bool idle() const { return leasable && in_flight == 0 && waiters.empty(); }
  // Nobody uses it, or waits for it since before `arrival`.
  bool drained(std::uint64_t arrival) const {
    return in_flight == 0 && (waiters.empty() || *waiters.begin() > arrival);
  }
  // How deep it sleeps instead of being stopped when nobody needs it; 0: it does not.
  int sleep_level() const {
    if (!spec->vllm || !info || !info->can_sleep) return 0;
    if (spec->vllm->idle_action == IdleAction::kSleep1) return 1;
    return spec->vllm->idle_action == IdleAction::kSleep2 ? 2 : 0;
  }
};

}  // namespace llm::engines
