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
#include "engines/memory_ledger.h"
#include "observe/gateway_metrics.h"
#include "observe/log.h"

namespace llm::engines {

struct SupervisorSettings {
  json::Duration keep_alive{300'000};  // of models that set none
  std::uint64_t memory_limit = 0;      // bytes; see MemoryLedger
  std::uint32_t max_restarts = 5;      // in a row, of an engine that crashed; a healthy minute resets the count
  std::chrono::milliseconds restart_backoff{1'000};  // doubles with each restart in a row, at most 60 s
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
  std::uint64_t memory_estimate = 0;
  std::uint64_t memory_used = 0;
  std::uint32_t restarts = 0;
  json::Duration keep_alive;
  std::int64_t idle_ms = 0;
};

struct Engine;

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

  // The reason why a request to this engine broke, given what the client side saw.
  Task<Error> explain(const Lease& lease, Error seen);

  std::vector<EngineReport> report() const;

  // The last lines that the engine of `key` wrote, oldest first; after its end those of its last life. None of an
  // external engine. kNotFound: no such engine was wanted lately.
  Task<Result<std::vector<std::string>>> log_lines(std::string key);

  // Two-phase stop: no more loads, then every engine ends. On the control loop.
  Task<void> stop();

 private:
  class Waiting;
  std::shared_ptr<Engine> find(const std::string& key) const;
  std::shared_ptr<Engine> find_or_add(const std::shared_ptr<const EngineSpec>& spec);
  std::optional<Lease> try_lease(const std::shared_ptr<Engine>& engine, const AcquireOptions& options);
  bool stopping() const;
  void request_start(const std::shared_ptr<Engine>& engine, std::shared_ptr<const EngineSpec> spec);

  // On the control loop (supervisor_control.cc).
  void begin_start(const std::shared_ptr<Engine>& engine, std::string phase);
  Task<void> start_engine(std::shared_ptr<Engine> engine);
  Task<Result<EngineInfo>> start_driver(std::shared_ptr<Engine> engine, EngineSpec spec);
  void started(Engine& engine, const EngineInfo& info, double seconds);
  void start_failed(Engine& engine, Error error, double seconds);
  Result<std::uint64_t> choose_context(EngineSpec& spec) const;
  Task<Result<void>> make_room(std::shared_ptr<Engine> engine, std::uint64_t wanted);
  std::vector<std::string> idle_engines() const;
  double busy_threads() const;
  Task<void> stop_engine(std::shared_ptr<Engine> engine);
  Task<void> unload_engine(std::shared_ptr<Engine> engine, bool force, std::shared_ptr<Watch<bool>> done);
  void on_crash(const std::shared_ptr<Engine>& engine, std::uint64_t attempt, Error error);
  Task<void> bury(std::unique_ptr<Driver> driver);
  Task<void> restart_later(std::shared_ptr<Engine> engine, std::uint64_t attempt, std::chrono::milliseconds pause);
  Task<void> watch_idle();
  void measure();
  void forget_unused();
  void set_state(Engine& engine, EngineState state, const std::function<void(EngineStatus&)>& change = {});

  Loop& control_;
  SupervisorSettings settings_;
  DriverFactory factory_;
  observe::Log& log_;
  observe::GatewayMetrics& metrics_;
  MemoryReader memory_;
  MemoryLedger ledger_;                      // control loop
  const std::shared_ptr<std::mutex> guard_;  // of engines_, stopped_ and the guarded fields of every Engine
  const std::shared_ptr<char> alive_;        // watched by what is posted to the control loop
  std::map<std::string, std::shared_ptr<Engine>> engines_;  // guarded
  bool stopped_ = false;                                    // guarded
  TaskGroup tasks_;                                         // control loop
  CancelSource stopping_;                                   // control loop
};

}  // namespace llm::engines
