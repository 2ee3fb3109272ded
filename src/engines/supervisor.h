#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "async/event.h"
#include "async/loop.h"
#include "async/task_group.h"
#include "async/watch.h"
#include "engines/engine.h"
#include "engines/gpu/gpu_inventory.h"
#include "engines/memory_demand.h"
#include "engines/memory_ledger.h"
#include "engines/memory_planner.h"
#include "observe/gateway_metrics.h"
#include "observe/log.h"

namespace llm::engines {

struct SupervisorSettings {
  json::Duration keep_alive{300'000};  // of models that set none
  std::uint64_t memory_limit = 0;      // bytes; see MemoryLedger
  std::uint32_t max_restarts = 5;      // in a row, of an engine that crashed; a healthy minute resets the count
  std::chrono::milliseconds restart_backoff{1'000};  // doubles with each restart in a row, at most 60 s
  // A model that was loaded is not unloaded for another one before, unless it sets its own time.
  json::Duration min_residency{0};
  // The GPUs as they are now; called on the control loop, may take milliseconds. Null: none.
  std::function<std::vector<Gpu>()> gpus = {};
  // llama-server was built for these GPUs: it offloads layers as settings.gpu_layers says. Else it computes on the CPU.
  bool llama_offload = false;
  // Asks engines outside our control to give memory back before a load is refused or has to wait for engines that are
  // in use. On the control loop; bytes that came free. Must have its own deadline.
  std::function<Task<std::uint64_t>(std::uint64_t missing)> evict_others = {};
  // Does this engine run already, left behind by an earlier gateway, and on which GPUs? Its memory is then in use and
  // not asked for again. Null, or nothing returned: it does not. On the control loop; must have its own deadline.
  std::function<Task<std::optional<std::vector<std::uint32_t>>>(EngineSpec spec)> running_on = {};
  // Where the measured memory of earlier loads is kept (JSON, private); empty: for this process only.
  std::filesystem::path learned_memory = {};
  std::function<std::chrono::steady_clock::time_point()> now = {};  // null: the system's
};

// What is known about one engine at a moment.
struct EngineStatus {
  EngineState state = EngineState::kStopped;
  LoadProgress progress;
  Error error;                                       // kFailed; kStopped: why a load was given up, if one was
  std::chrono::steady_clock::time_point retry_at{};  // kFailed: when the next attempt is due
  EngineInfo info;                                   // kReady
  std::uint64_t attempt = 0;                         // loads begun so far
};

// A line of GET /api/v1/engines.
struct EngineReport {
  std::string key;
  std::string model;
  EngineStatus status;
  std::size_t in_flight = 0;
  std::size_t waiting = 0;            // requests that wait for it to be loaded
  std::uint64_t memory_estimate = 0;  // host and devices together, bytes
  std::uint64_t memory_used = 0;
  std::uint32_t restarts = 0;
  json::Duration keep_alive;
  std::int64_t idle_ms = 0;
  std::uint32_t replica = 0;  // of several equal engines of `model`
  std::vector<std::uint32_t> gpus = {};
  MemoryPlan memory = {};      // what the estimate consists of, after correction by earlier measurements
  MemoryDemand measured = {};  // what it really uses; a GPU only where it can be told
  bool pinned = false;
  std::int32_t priority = 0;
};

struct Engine;
struct EngineLife;

// A running engine held for one request: while it exists, the engine is not unloaded unless somebody forces it. Any
// thread. May outlive the supervisor.
class Lease {
 public:
  Lease() = default;
  Lease(std::shared_ptr<Engine> engine, std::shared_ptr<const EngineInfo> info)
      : engine_(std::move(engine)), info_(std::move(info)) {}
  Lease(Lease&&) noexcept = default;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease();
  const EngineInfo& info() const { return *info_; }

 private:
  friend class Supervisor;
  void release();
  std::shared_ptr<Engine> engine_;          // shared: requests, the supervisor's table and its coroutines
  std::shared_ptr<const EngineInfo> info_;  // shared with the supervisor; immutable
};

using DriverFactory = std::function<std::unique_ptr<Driver>(const EngineSpec&)>;

// Brings engines up on first use, one load however many ask; restarts what crashes; unloads what is idle; asks the
// memory ledger before each load. Lives on the control loop; `acquire`, `unload`, `report` and `explain` may be called
// from any loop.
//
//   stopped → starting → ready → stopping → stopped       a crash: ready → failed → (back-off) → starting
//                └→ failed                                 a load that failed is tried again by the next request
//                        ready → stopping → asleep → starting ("waking up") → ready
//
// A load that has no room stops idle engines; where only busy or young ones hold the memory it waits in a queue. See
// supervisor_memory.cc.
//
// Destroyed after stop(), or when its loop no longer runs; the calls of other loops must have ended by then.
class Supervisor {
 public:
  using MemoryReader = std::function<SystemMemory()>;

  Supervisor(
      Loop& control, SupervisorSettings settings, DriverFactory factory, observe::Log& log,
      observe::GatewayMetrics& metrics, MemoryReader memory = [] { return read_system_memory(); });
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  struct AcquireOptions {
    std::optional<json::Duration> keep_alive = {};  // replaces the model's until the engine stops
    std::chrono::milliseconds timeout{600'000};     // for the load
    // On the caller's loop, while it waits; an error ends the wait with that error.
    std::function<Task<Result<void>>(LoadProgress)> progress = {};
    bool retry_now = false;  // an explicit load: no waiting for the back-off
  };
  // A lease on a ready engine. Errors: the load's own (kInsufficientMemory, kEngineFailed, …), kUnavailable with
  // retry_after when the wait took too long, kCancelled.
  Task<Result<Lease>> acquire(std::shared_ptr<const EngineSpec> spec, AcquireOptions options, CancelToken cancel);

  // Stops the engine of `key`. With requests in flight it waits for them unless `force`; a load under way is given up.
  // New requests wait until it is gone and then load it again. kNotFound: not loaded.
  Task<Result<void>> unload(std::string key, bool force);

  // Asks a ready or sleeping engine for something beside requests; several of one engine take their turn. kSleep lets
  // the requests in flight end first (new ones wait and wake it again); kWake makes room for it first. Any loop;
  // `cancel` belongs to the caller's. kNotFound: not loaded; kConflict: it starts, stops or falls asleep at the moment;
  // kUnsupported: it knows no such thing; kCancelled; the engine's own.
  Task<Result<json::object>> command(std::string key, EngineCommand command, CancelToken cancel);

  // Brings an engine up that no request asked for yet (autostart), or does nothing if it is up. Any loop; returns at
  // once. Failures are told by report() and the log; one that lacks memory is not tried again by itself.
  void start_now(std::shared_ptr<const EngineSpec> spec);

  // Looks at once for what time alone brings about (idle engines, loads that wait for memory) instead of within 200 ms.
  // Any loop.
  void check_now();

  // The reason why a request to this engine broke, given what the client side saw.
  Task<Error> explain(const Lease& lease, Error seen);

  std::vector<EngineReport> report() const;

  // The last lines that the engine of `key` wrote, oldest first; after its end those of its last life. None of an
  // external engine. kNotFound: no such engine was wanted lately.
  Task<Result<std::vector<std::string>>> log_lines(std::string key);

  // Two-phase stop: no more loads, then every engine ends. On the control loop.
  Task<void> stop();

 private:
  using Clock = std::chrono::steady_clock;
  class Waiting;
  struct RoomRequest;
  struct RoomStep;
  struct Survey;

  std::shared_ptr<Engine> find(const std::string& key) const;
  std::shared_ptr<Engine> find_or_add(const std::shared_ptr<const EngineSpec>& spec);
  std::optional<Lease> try_lease(const std::shared_ptr<Engine>& engine, const AcquireOptions& options,
                                 std::uint64_t arrival);
  bool stopping() const;
  void request_start(const std::shared_ptr<Engine>& engine, std::shared_ptr<const EngineSpec> spec, bool alone);

  // On the control loop. Starts, stops, crashes (supervisor_control.cc).
  void begin_start(const std::shared_ptr<Engine>& engine, std::string phase, bool alone);
  Task<void> start_engine(std::shared_ptr<Engine> engine);
  Task<Result<EngineInfo>> start_driver(std::shared_ptr<Engine> engine, EngineSpec spec);
  void started(Engine& engine, const EngineInfo& info, double seconds);
  void start_failed(Engine& engine, Error error, double seconds);
  double busy_threads() const;
  Task<void> stop_engine(std::shared_ptr<Engine> engine);
  Task<void> end_life(std::shared_ptr<EngineLife> life, std::string key);
  void forget_life(Engine& engine);
  Task<void> unload_engine(std::shared_ptr<Engine> engine, bool force, std::shared_ptr<Watch<bool>> done);
  void on_crash(const std::shared_ptr<Engine>& engine, const std::shared_ptr<EngineLife>& life, Error error);
  Task<void> bury(std::shared_ptr<EngineLife> life, std::string key);
  Task<void> restart_later(std::shared_ptr<Engine> engine, std::uint64_t attempt, std::chrono::milliseconds pause);
  void set_state(Engine& engine, EngineState state, const std::function<void(EngineStatus&)>& change = {});

  // Memory (supervisor_memory.cc).
  MachineMemory read_machine() const;
  Task<Result<PlannedLoad>> prepare(std::shared_ptr<Engine> engine, EngineSpec spec);
  Task<Result<PlannedLoad>> make_room(std::shared_ptr<Engine> engine, EngineSpec spec);
  RoomStep next_step(RoomRequest& mine);
  Survey survey(const RoomRequest& mine) const;
  bool reserve(const RoomRequest& mine, const PlannedLoad& load, const MachineMemory& machine);
  RoomStep stop_step(const std::vector<std::string>& keys, bool may_sleep);
  Error no_room(const RoomRequest& mine, const PlannedLoad& load, const MachineMemory& machine) const;
  std::string holders() const;
  void set_fences();
  bool old_enough(const Engine& engine) const;
  bool abandoned(const Engine& engine) const;
  void set_memory(Engine& engine, const MemoryPlan& memory, const std::vector<std::uint32_t>& gpus);
  void release_memory(Engine& engine);
  void room_changed() {
    room_->update([](int&) {});
  }

  // Sleep and other commands (supervisor_commands.cc).
  struct Reply;
  Task<void> run_command(std::shared_ptr<Engine> engine, EngineCommand command, std::shared_ptr<Reply> reply);
  Task<Result<json::object>> command_engine(std::shared_ptr<Engine> engine, EngineCommand command, CancelToken cancel);
  Task<Result<json::object>> ask(std::shared_ptr<EngineLife> life, EngineCommand command, CancelToken cancel);
  Task<Result<json::object>> sleep_when_drained(std::shared_ptr<Engine> engine, int level, CancelToken cancel);
  Task<Result<json::object>> wake_and_wait(std::shared_ptr<Engine> engine, CancelToken cancel);
  Task<Result<json::object>> fall_asleep(std::shared_ptr<Engine> engine, int level, CancelToken cancel);
  Task<void> retire(std::shared_ptr<Engine> engine, bool may_sleep);
  void begin_wake(const std::shared_ptr<Engine>& engine, bool alone);
  Task<void> wake_engine(std::shared_ptr<Engine> engine);

  // What time brings about (supervisor_idle.cc).
  Task<void> watch_idle();
  void stop_idle();
  void measure();
  void measure_one(Engine& engine, const MachineMemory& machine);
  void forget_unused();

  Loop& control_;
  SupervisorSettings settings_;
  const std::function<Clock::time_point()> now_;
  DriverFactory factory_;
  observe::Log& log_;
  observe::GatewayMetrics& metrics_;
  MemoryReader memory_;
  MemoryLedger ledger_;                      // control loop
  LearnedMemory learned_;                    // control loop
  MemoryPlanner planner_;                    // control loop
  std::vector<RoomRequest*> queue_;          // control loop: loads that need memory, by arrival
  const std::shared_ptr<Watch<int>> room_;   // changes when a load that waits for memory should look again; any thread
  const std::shared_ptr<std::mutex> guard_;  // of engines_, stopped_ and the guarded fields of every Engine
  const std::shared_ptr<char> alive_;        // watched by what is posted to the control loop
  std::map<std::string, std::shared_ptr<Engine>> engines_;  // guarded
  std::uint64_t arrivals_ = 0;                              // guarded
  bool stopped_ = false;                                    // guarded
  TaskGroup tasks_;                                         // control loop
  CancelSource stopping_;                                   // control loop
};

}  // namespace llm::engines
