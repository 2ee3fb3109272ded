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
    engine->last_used = Clock::now();
    awaited = engine->in_flight == 0 && !engine->leasable;
  }
  if (awaited) engine->status.update([](EngineStatus&) {});  // wakes who waits to unload it
}

// Counts a caller that waits for a lease: the engine it waits for is not idle.
class Supervisor::Waiting {
 public:
  explicit Waiting(std::shared_ptr<Engine> engine) : engine_(std::move(engine)) {
    const std::lock_guard lock(*engine_->guard);
    ++engine_->waiting;
  }
  ~Waiting() {
    const std::lock_guard lock(*engine_->guard);
    --engine_->waiting;
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  std::shared_ptr<Engine> engine_;  // shared: the frame of a caller may outlive the supervisor's table
};

Supervisor::Supervisor(Loop& control, SupervisorSettings settings, DriverFactory factory, observe::Log& log,
                       observe::GatewayMetrics& metrics, MemoryReader memory)
    : control_(control),
      settings_(settings),
      factory_(std::move(factory)),
      log_(log),
      metrics_(metrics),
      memory_(std::move(memory)),
      ledger_(settings.memory_limit),
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
    engine = std::make_shared<Engine>(spec, guard_, settings_.keep_alive);
    // Names that only a request made up get no series of their own.
    const bool known =
        !spec->external || std::ranges::find(spec->external->models, spec->model) != spec->external->models.end();
    if (known) metrics_.add_model(spec->key);
  }
  return engine;
}

std::optional<Lease> Supervisor::try_lease(const std::shared_ptr<Engine>& engine, const AcquireOptions& options) {
  const std::lock_guard lock(*guard_);
  if (!engine->leasable) return std::nullopt;
  ++engine->in_flight;
  if (options.keep_alive) engine->asked_keep_alive = options.keep_alive;
  return Lease(engine, engine->info);
}

bool Supervisor::stopping() const {
  const std::lock_guard lock(*guard_);
  return stopped_;
}

void Supervisor::request_start(const std::shared_ptr<Engine>& engine, std::shared_ptr<const EngineSpec> spec) {
  control_.post([this, alive = std::weak_ptr(alive_), engine, spec = std::move(spec)]() mutable {
    if (alive.expired() || stopping()) {
      engine->status.update([](EngineStatus&) {});  // who waits looks again
      return;
    }
    const auto state = engine->status.get().value.state;
    if (state != EngineState::kStopped && state != EngineState::kFailed) return;
    {
      const std::lock_guard lock(*guard_);
      engine->spec = std::move(spec);  // settings or file may have changed since the last load
    }
    begin_start(engine, "starting");
  });
}

Task<Result<Lease>> Supervisor::acquire(std::shared_ptr<const EngineSpec> spec, AcquireOptions options,
                                        CancelToken cancel) {
  const auto engine = find_or_add(spec);
  if (auto lease = try_lease(engine, options)) co_return std::move(*lease);
  const Waiting waiting(engine);
  const auto deadline = Clock::now() + std::min(options.timeout, kLongestWait);
  std::optional<std::uint64_t> asked;  // the number of loads when this caller asked for one more
  bool joined = false;                 // a load that somebody asked for was under way
  while (true) {
    const auto [status, version] = engine->status.get();
    if (auto lease = try_lease(engine, options)) co_return std::move(*lease);
    if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "cancelled while the model was loading");
    if (stopping()) co_return fail(ErrorCode::kUnavailable, "the gateway is shutting down");
    const auto now = Clock::now();
    const bool down = status.state == EngineState::kStopped || status.state == EngineState::kFailed;
    if (down) {
      // The load this caller waited for failed, or one failed so recently that another makes no sense yet.
      const bool attempted = joined || (asked && status.attempt > *asked);
      const bool backing_off = status.state == EngineState::kFailed && status.retry_at > now && !options.retry_now;
      if (!status.error.message.empty() && (attempted || backing_off)) {
        co_return fail(with_retry_after(status.error, status.retry_at, now));
      }
      if (!asked || status.attempt > *asked) {
        asked = status.attempt;
        request_start(engine, spec);
      }
    }
    joined = joined || status.state == EngineState::kStarting;
    if (options.progress && status.state == EngineState::kStarting) {
      if (auto told = co_await options.progress(status.progress); !told) co_return fail(told.error());
    }
    if (now >= deadline) {
      co_return fail(Error{ErrorCode::kUnavailable,
                           fmt::format("model \"{}\" is still loading ({}, {:.0f} %); try again soon", spec->key,
                                       status.progress.phase, status.progress.fraction * 100),
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
    const bool usable = !alive.expired() && !stopping() && engine->driver;
    told->set(usable ? engine->driver->last_log_lines() : engine->last_log);
  });
  co_await told->changed(unknown, {}, std::nullopt);
  co_return *told->get().value;
}

std::vector<EngineReport> Supervisor::report() const {
  std::vector<EngineReport> reports;
  const std::lock_guard lock(*guard_);
  for (const auto& [key, engine] : engines_) {
    EngineReport report{key,
                        engine->spec->model,
                        engine->status.get().value,
                        engine->in_flight,
                        engine->estimate,
                        engine->used,
                        engine->restarts,
                        engine->keep_alive(),
                        0};
    if (engine->leasable && engine->in_flight == 0) {
      report.idle_ms = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - engine->last_used).count();
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace llm::engines
