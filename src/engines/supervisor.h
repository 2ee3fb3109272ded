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
  Error error;  // kFailed
  std::chrono::steady_clock::time_point retry_at{};  // kFailed: when the next attempt is due
  EngineInfo info;  // kReady
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
  std::vector<std::string> log;
};

struct Engine;

// A running engine held for one request: while it exists, the engine is not unloaded. Any thread.
class Lease {
 public:
  Lease() = default;
  Lease(std::shared_ptr<Engine> engine, std::shared_ptr<const EngineInfo> info)
      : engine_(std::move(engine)), info_(std::move(info)) {}
  Lease(Lease&&) noexcept = default;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease();
  const EngineInfo& info() const { return *info_; }
  Engine* engine() const { return engine_.get(); }

 private:
  void release();
  std::shared_ptr<Engine> engine_;  // shared: requests, the supervisor's table and its coroutines
  std::shared_ptr<const EngineInfo> info_;  // shared with the supervisor; immutable
};

using DriverFactory = std::function<std::unique_ptr<Driver>(const EngineSpec&)>;

// Brings engines up on first use, one load however many ask; restarts what crashes; unloads what is idle; asks the
// memory ledger before each load. Lives on the control loop; `acquire`, `unload`, `report` and `explain` may be called
// from any loop.
class Supervisor {
 public:
  Supervisor(Loop& control, SupervisorSettings settings, DriverFactory factory, observe::Log& log,
             observe::GatewayMetrics& metrics);
  ~Supervisor();

  struct AcquireOptions {
    std::optional<json::Duration> keep_alive;          // replaces the model's from now on
    std::chrono::milliseconds timeout{600'000};        // for the load
    std::function<Task<void>(LoadProgress)> progress;  // on the caller's loop, while it waits
    bool retry_now = false;                            // an explicit load: no waiting for the back-off
  };
  // A lease on a ready engine. Errors: the load's own (kInsufficientMemory, kEngineFailed, …), kUnavailable with
  // retry_after when the wait took too long, kCancelled.
  Task<Result<Lease>> acquire(std::shared_ptr<const EngineSpec> spec, AcquireOptions options, CancelToken cancel);

  // Stops the engine of `key`. With requests in flight it waits for them unless `force`. kNotFound: not loaded.
  Task<Result<void>> unload(std::string key, bool force);

  // The reason why a request to this engine broke, given what the client side saw.
  Task<Error> explain(const Lease& lease, Error seen);

  std::vector<EngineReport> report() const;

  // Two-phase stop: no more loads, then every engine ends. On the control loop.
  Task<void> stop();

 private:
  std::shared_ptr<Engine> find_or_add(const std::shared_ptr<const EngineSpec>& spec);
  Result<std::uint64_t> choose_context(EngineSpec& spec) const;
  void started(Engine& engine, const EngineInfo& info, std::uint64_t wanted, double seconds);
  std::optional<Lease> try_lease(const std::shared_ptr<Engine>& engine, const AcquireOptions& options);
  void request_start(const std::shared_ptr<Engine>& engine);
  Task<void> start_engine(std::shared_ptr<Engine> engine);
  Task<Result<void>> make_room(std::shared_ptr<Engine> engine, std::uint64_t wanted);
  Task<void> stop_engine(std::shared_ptr<Engine> engine, EngineState after);
  void on_crash(const std::shared_ptr<Engine>& engine, Error error);
  Task<void> restart_later(std::shared_ptr<Engine> engine, std::chrono::milliseconds pause);
  Task<void> watch_idle();
  void set_state(Engine& engine, EngineState state, const std::function<void(EngineStatus&)>& change = {});

  Loop& control_;
  SupervisorSettings settings_;
  DriverFactory factory_;
  observe::Log& log_;
  observe::GatewayMetrics& metrics_;
  MemoryLedger ledger_;
  mutable std::mutex mutex_;  // guards engines_ and the fields of Engine marked so
  std::map<std::string, std::shared_ptr<Engine>> engines_;
  TaskGroup tasks_;
  CancelSource stopping_;
  bool stopped_ = false;  // guarded by mutex_
};

}  // namespace llm::engines
