// What other loops call. The control loop's side is in supervisor_control.cc.
#include "engines/supervisor.h"

#include <algorithm>
#include <fmt/format.h>

#include "engines/engine_record.h"

namespace llm::engines {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kExplainWait = std::chrono::seconds(2);
constexpr auto kLongestWait = std::chrono::milliseconds(std::chrono::hours(24 * 365));  // adding more could overflow

// Has it to be brought up before it can serve?
bool is_down(EngineState state) {
  return state == EngineState::kStopped || state == EngineState::kFailed || state == EngineState::kAsleep;
}

Error with_retry_after(Error error, Clock::time_point retry_at, Clock::time_point now) {
  if (retry_at > now) {
    error.retry_after_s = static_cast<int>(std::chrono::ceil<std::chrono::seconds>(retry_at - now).count());
  }
  return error;
}

}  // namespace

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  release();
  engine_ = std::move(other.engine_);
  info_ = std::move(other.info_);
  return *this;
}
Lease::~Lease() {
  release();
}

void Lease::release() {
  const auto engine = std::exchange(engine_, nullptr);
  if (!engine) return;
  bool awaited = false;
  {
    const std::lock_guard lock(*engine->guard);
    --engine->in_flight;
    engine->last_used = engine->now();
    awaited = engine->in_flight == 0 && (!engine->leasable || engine->fence);
  }
  if (!awaited) return;
  engine->status.update([](EngineStatus&) {});  // wakes who waits to unload it
  engine->room->update([](int&) {});            // and who waits for its memory
}

// A caller that waits for a lease: the engine it waits for is not idle. Its arrival number says whose turn it is.
class Supervisor::Waiting {
 public:
  Waiting(std::shared_ptr<Engine> engine, std::uint64_t& arrivals) : engine_(std::move(engine)) {
    const std::lock_guard lock(*engine_->guard);
    arrival_ = ++arrivals;
    engine_->waiters.insert(arrival_);
  }
  ~Waiting() {
    bool matters = false;
    {
      const std::lock_guard lock(*engine_->guard);
      engine_->waiters.erase(arrival_);
      matters = engine_->needs_room || engine_->fence;
    }
    if (matters) engine_->room->update([](int&) {});
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  std::uint64_t arrival() const { return arrival_; }

 private:
  std::shared_ptr<Engine> engine_;  // shared: the frame of a caller may outlive the supervisor's table
  std::uint64_t arrival_ = 0;
};

Supervisor::Supervisor(Loop& control, SupervisorSettings settings, DriverFactory factory, observe::Log& log,
                       observe::GatewayMetrics& metrics, MemoryReader memory)
    : control_(control),
      settings_(std::move(settings)),
      now_(settings_.now ? settings_.now : [] { return Clock::now(); }),
      factory_(std::move(factory)),
      log_(log),
      metrics_(metrics),
      memory_(std::move(memory)),
      ledger_(settings_.memory_limit),
      learned_(settings_.learned_memory),
      planner_(ledger_, learned_, settings_.llama_offload),
      room_(std::make_shared<Watch<int>>(0)),
      guard_(std::make_shared<std::mutex>()),
      alive_(std::make_shared<char>()),
      tasks_(control.executor()) {
  tasks_.spawn(watch_idle());
}

Supervisor::~Supervisor() = default;

std::shared_ptr<Engine> Supervisor::find(const std::string& key) const {
  const std::lock_guard lock(*guard_);
  const auto found = engines_.find(key);
  return found == engines_.end() ? nullptr : found->second;
}

std::shared_ptr<Engine> Supervisor::find_or_add(const std::shared_ptr<const EngineSpec>& spec) {
  const std::lock_guard lock(*guard_);
  auto& engine = engines_[spec->key];
  if (!engine) {
    engine = std::make_shared<Engine>(spec, guard_, room_, settings_.keep_alive, now_);
    // Names that only a request made up get no series of their own.
    const bool known =
        !spec->external || std::ranges::find(spec->external->models, spec->model) != spec->external->models.end();
    if (known) metrics_.add_model(spec->key);
    // "name:tag@sha256:…" and "…#2" are engines of a model that is counted by its name.
    if (known) metrics_.add_model(std::string_view(spec->key).substr(0, spec->key.find_first_of("@#")));
  }
  return engine;
}

std::optional<Lease> Supervisor::try_lease(const std::shared_ptr<Engine>& engine, const AcquireOptions& options,
                                           std::uint64_t arrival) {
  const std::lock_guard lock(*guard_);
  if (!engine->leasable || (engine->fence && arrival > *engine->fence)) return std::nullopt;
  ++engine->in_flight;
  engine->served = true;
  if (options.keep_alive) engine->asked_keep_alive = options.keep_alive;
  return Lease(engine, engine->info);
}

bool Supervisor::stopping() const {
  const std::lock_guard lock(*guard_);
  return stopped_;
}

void Supervisor::request_start(const std::shared_ptr<Engine>& engine, std::shared_ptr<const EngineSpec> spec,
                               bool alone) {
  control_.post([this, alive = std::weak_ptr(alive_), engine, spec = std::move(spec), alone]() mutable {
    if (alive.expired() || stopping()) {
      engine->status.update([](EngineStatus&) {});  // who waits looks again
      return;
    }
    const auto state = engine->status.get().value.state;
    if (state == EngineState::kAsleep) {
      bool leaving = false;
      {
        const std::lock_guard lock(*guard_);
        leaving = engine->leaving;  // then it is loaded anew when it has stopped
      }
      if (!alone && !leaving) begin_wake(engine, false);
      return;
    }
    if (state != EngineState::kStopped && state != EngineState::kFailed) return;
    {
      const std::lock_guard lock(*guard_);
      engine->spec = std::move(spec);  // settings or file may have changed since the last load
    }
    begin_start(engine, "starting", alone);
  });
}

void Supervisor::start_now(std::shared_ptr<const EngineSpec> spec) {
  const auto engine = find_or_add(spec);
  request_start(engine, std::move(spec), true);
}

Task<Result<Lease>> Supervisor::acquire(std::shared_ptr<const EngineSpec> spec, AcquireOptions options,
                                        CancelToken cancel) {
  const auto engine = find_or_add(spec);
  if (auto lease = try_lease(engine, options, UINT64_MAX)) co_return std::move(*lease);
  const Waiting waiting(engine, arrivals_);
  const auto deadline = Clock::now() + std::min(options.timeout, kLongestWait);
  std::optional<std::uint64_t> asked;  // the number of loads when this caller asked for one more
  bool joined = false;                 // a load that somebody asked for was under way
  while (true) {
    const auto [status, version] = engine->status.get();
    if (auto lease = try_lease(engine, options, waiting.arrival())) co_return std::move(*lease);
    if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "cancelled while the model was loading");
    if (stopping()) co_return fail(ErrorCode::kUnavailable, "the gateway is shutting down");
    const auto now = Clock::now();
    if (is_down(status.state)) {
      // The load this caller waited for failed, or one failed so recently that another makes no sense yet.
      const bool attempted = joined || (asked && status.attempt > *asked);
      const bool backing_off = status.state == EngineState::kFailed && status.retry_at > now && !options.retry_now;
      if (!status.error.message.empty() && (attempted || backing_off)) {
        co_return fail(with_retry_after(status.error, status.retry_at, now));
      }
      if (!asked || status.attempt > *asked) {
        asked = status.attempt;
        request_start(engine, spec, false);
      }
    } else {
      asked.reset();
    }
    joined = joined || status.state == EngineState::kStarting;
    // A ready engine that gives no lease waits for its end: another model needs the memory.
    const bool fenced = status.state == EngineState::kReady;
    const LoadProgress progress = fenced ? LoadProgress{"waiting for memory", 0} : status.progress;
    if (options.progress && (fenced || status.state == EngineState::kStarting)) {
      if (auto told = co_await options.progress(progress); !told) co_return fail(told.error());
    }
    if (now >= deadline) {
      co_return fail(Error{ErrorCode::kUnavailable,
                           fmt::format("model \"{}\" is still loading ({}, {:.0f} %); try again soon", spec->key,
                                       progress.phase, progress.fraction * 100),
                           {},
                           {},
                           5});
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now);
    co_await engine->status.changed(version, cancel, left);
  }
}

Task<Result<void>> Supervisor::unload(std::string key, bool force) {
  const auto engine = find(key);
  if (!engine || engine->status.get().value.state == EngineState::kStopped) {
    co_return fail(ErrorCode::kNotFound, fmt::format("model \"{}\" is not loaded", key));
  }
  const auto done = std::make_shared<Watch<bool>>(false);  // shared: the control loop may end before this caller
  control_.post([this, alive = std::weak_ptr(alive_), engine, force, done] {
    if (alive.expired() || stopping()) {
      done->set(true);
    } else {
      tasks_.spawn(unload_engine(engine, force, done));
    }
  });
  while (true) {
    const auto [finished, version] = done->get();
    if (finished) co_return Result<void>();
    co_await done->changed(version, {}, std::nullopt);
  }
}

Task<Error> Supervisor::explain(const Lease& lease, Error seen) {
  const auto engine = lease.engine_;
  if (!engine || engine->external) co_return seen;
  if (seen.code != ErrorCode::kEngineFailed && seen.code != ErrorCode::kUnavailable) co_return seen;
  // The connection breaks a moment before the process is reaped.
  const auto deadline = Clock::now() + kExplainWait;
  while (true) {
    const auto [status, version] = engine->status.get();
    bool same_life = false;
    {
      const std::lock_guard lock(*guard_);
      if (engine->crashed == lease.info_) co_return engine->crash;
      same_life = engine->info == lease.info_;
    }
    if (!same_life || status.state != EngineState::kReady) {
      co_return Error{ErrorCode::kUnavailable,
                      fmt::format("model \"{}\" was unloaded while the request ran; try again", engine->key),
                      {},
                      {},
                      1};
    }
    const auto now = Clock::now();
    if (now >= deadline) co_return seen;
    co_await engine->status.changed(version, {}, std::chrono::ceil<std::chrono::milliseconds>(deadline - now));
  }
}

Task<Result<std::vector<std::string>>> Supervisor::log_lines(std::string key) {
  const auto engine = find(key);
  if (!engine) co_return fail(ErrorCode::kNotFound, fmt::format("model \"{}\" has no engine", key));
  using Lines = std::optional<std::vector<std::string>>;
  const auto told = std::make_shared<Watch<Lines>>();  // shared: the control loop may end before this caller
  const auto unknown = told->get().version;
  control_.post([this, alive = std::weak_ptr(alive_), engine, told] {
    const bool usable = !alive.expired() && !stopping() && engine->life;
    told->set(usable ? engine->life->driver->last_log_lines() : engine->last_log);
  });
  co_await told->changed(unknown, {}, std::nullopt);
  co_return *told->get().value;
}

std::vector<EngineReport> Supervisor::report() const {
  std::vector<EngineReport> reports;
  const std::lock_guard lock(*guard_);
  for (const auto& [key, engine] : engines_) {
    EngineReport report{.key = key,
                        .model = engine->spec->model,
                        .status = engine->status.get().value,
                        .in_flight = engine->in_flight,
                        .waiting = engine->waiters.size(),
                        .memory_estimate = engine->memory.total().total(),
                        .memory_used = engine->measured.host,
                        .restarts = engine->restarts,
                        .keep_alive = engine->keep_alive(),
                        .idle_ms = 0,
                        .replica = engine->spec->replica,
                        .gpus = engine->gpus,
                        .memory = engine->memory,
                        .measured = engine->measured,
                        .pinned = engine->pinned(),
                        .priority = engine->priority()};
    // It still serves what it had; for whoever looks it is on its way out.
    if (engine->leaving && report.status.state == EngineState::kReady) report.status.state = EngineState::kStopping;
    if (engine->leasable && engine->in_flight == 0) {
      report.idle_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now_() - engine->last_used).count();
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace llm::engines
