#include "engines/supervisor.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "engines/llama_server.h"
#include "models/memory_estimate.h"

namespace llm::engines {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kIdleCheck = std::chrono::milliseconds(200);
constexpr auto kHealthyAfter = std::chrono::seconds(60);
constexpr auto kLongestBackoff = std::chrono::milliseconds(60'000);

}  // namespace

// One engine, loaded or not. Fields are the supervisor's unless they say "guarded".
struct Engine {
  explicit Engine(std::shared_ptr<const EngineSpec> engine_spec)
      : key(engine_spec->key), external(engine_spec->external.has_value()), spec(std::move(engine_spec)) {}
  const std::string key;
  const bool external;
  std::shared_ptr<const EngineSpec> spec;  // guarded; shared with the requests that brought it
  std::shared_ptr<const EngineInfo> info;  // guarded; of the running engine
  Watch<EngineStatus> status;       // thread-safe by itself
  std::mutex* guard = nullptr;      // the supervisor's; outlives every lease
  std::size_t in_flight = 0;        // guarded
  Clock::time_point last_used{};    // guarded
  json::Duration keep_alive;        // guarded
  bool leasable = false;            // guarded: ready and not about to stop
  std::uint64_t estimate = 0;       // guarded
  std::uint64_t used = 0;           // guarded
  std::uint32_t restarts = 0;       // guarded
  std::unique_ptr<Driver> driver;   // control loop
  CancelSource start_cancel;        // control loop
  Clock::time_point ready_since{};  // control loop
};

Lease& Lease::operator=(Lease&& other) noexcept {
  release();
  engine_ = std::move(other.engine_);
  info_ = std::move(other.info_);
  return *this;
}
Lease::~Lease() { release(); }
void Lease::release() {
  if (const auto engine = std::exchange(engine_, nullptr)) {
    const std::lock_guard lock(*engine->guard);
    --engine->in_flight;
    engine->last_used = Clock::now();
  }
}

Supervisor::Supervisor(Loop& control, SupervisorSettings settings, DriverFactory factory, observe::Log& log,
                       observe::GatewayMetrics& metrics)
    : control_(control),
      settings_(settings),
      factory_(std::move(factory)),
      log_(log),
      metrics_(metrics),
      ledger_(settings.memory_limit),
      tasks_(control.executor()) {
  tasks_.spawn(watch_idle());
}

Supervisor::~Supervisor() = default;

std::shared_ptr<Engine> Supervisor::find_or_add(const std::shared_ptr<const EngineSpec>& spec) {
  const std::lock_guard lock(mutex_);
  auto& engine = engines_[spec->key];
  if (!engine) {
    engine = std::make_shared<Engine>(spec);
    engine->guard = &mutex_;
    engine->keep_alive = spec->settings.keep_alive.value_or(settings_.keep_alive);
    metrics_.add_model(spec->key);
  }
  return engine;
}

std::optional<Lease> Supervisor::try_lease(const std::shared_ptr<Engine>& engine, const AcquireOptions& options) {
  const std::lock_guard lock(mutex_);
  if (!engine->leasable) return std::nullopt;
  ++engine->in_flight;
  if (options.keep_alive) engine->keep_alive = *options.keep_alive;
  return Lease(engine, engine->info);
}

void Supervisor::request_start(const std::shared_ptr<Engine>& engine) {
  control_.post([this, engine] {
    const auto state = engine->status.get().value.state;
    if (stopped_ || state == EngineState::kStarting || state == EngineState::kReady || state == EngineState::kStopping) {
      return;
    }
    set_state(*engine, EngineState::kStarting, [](EngineStatus& status) { status.progress = {"starting", 0}; });
    tasks_.spawn(start_engine(engine));
  });
}

Task<Result<Lease>> Supervisor::acquire(std::shared_ptr<const EngineSpec> spec, AcquireOptions options,
                                        CancelToken cancel) {
  const auto engine = find_or_add(spec);
  if (auto lease = try_lease(engine, options)) co_return std::move(*lease);
  const auto deadline = Clock::now() + options.timeout;
  bool asked = false;
  while (true) {
    const auto [status, version] = engine->status.get();
    if (auto lease = try_lease(engine, options)) co_return std::move(*lease);
    if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "cancelled while the model was loading");
    {
      const std::lock_guard lock(mutex_);
      if (stopped_) co_return fail(ErrorCode::kUnavailable, "the gateway is shutting down");
    }
    const auto now = Clock::now();
    if (status.state == EngineState::kFailed) {
      // The attempt this caller waited for failed, or one failed so recently that another makes no sense yet.
      const bool backing_off = status.retry_at > now && !options.retry_now;
      if (asked || backing_off) {
        Error error = status.error;
        if (backing_off) {
          error.retry_after_s = static_cast<int>(std::chrono::ceil<std::chrono::seconds>(status.retry_at - now).count());
        }
        co_return fail(std::move(error));
      }
    }
    if (status.state == EngineState::kStopped || status.state == EngineState::kFailed) {
      const std::lock_guard lock(mutex_);
      engine->spec = spec;  // settings or file may have changed since the last load
    }
    if (status.state != EngineState::kStarting && status.state != EngineState::kStopping) request_start(engine);
    asked = asked || status.state == EngineState::kStarting;
    if (options.progress && status.state == EngineState::kStarting) co_await options.progress(status.progress);
    if (now >= deadline) {
      co_return fail(Error{ErrorCode::kUnavailable,
                           fmt::format("model \"{}\" is still loading ({}, {:.0f} %); try again soon", spec->key,
                                       status.progress.phase, status.progress.fraction * 100),
                           {}, {}, 5});
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - now) + std::chrono::milliseconds(1);
    co_await engine->status.changed(version, cancel, left);
  }
}

Task<Result<void>> Supervisor::make_room(std::shared_ptr<Engine> engine, std::uint64_t wanted) {
  while (true) {
    const SystemMemory memory = read_system_memory();
    const std::uint64_t missing = ledger_.missing(wanted, memory);
    if (missing == 0) {
      ledger_.reserve(engine->key, wanted);
      co_return Result<void>();
    }
    std::shared_ptr<Engine> oldest;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [key, candidate] : engines_) {
        if (!candidate->leasable || candidate->in_flight > 0 || candidate->external) continue;
        if (!oldest || candidate->last_used < oldest->last_used) oldest = candidate;
      }
      if (oldest) oldest->leasable = false;
    }
    if (oldest) {
      log_.info("engine unloaded to make room", {{"model", oldest->key}, {"for", engine->key}});
      co_await stop_engine(oldest, EngineState::kStopped);
      continue;
    }
    const std::uint64_t room = wanted - missing;
    co_return fail(Error{
        ErrorCode::kInsufficientMemory,
        fmt::format("model \"{}\" needs about {} (weights, KV cache and buffers), and {} of {} can be used{}. Set a "
                    "smaller context or fewer parallel slots (models.settings), unload other models, or raise "
                    "engines.memory_limit",
                    engine->key, format_bytes(wanted), format_bytes(room), format_bytes(memory.total),
                    ledger_.limit() > 0 ? fmt::format(" (engines.memory_limit is {})", format_bytes(ledger_.limit())) : ""),
        {},
        {{"bytes_needed", static_cast<std::int64_t>(wanted)}, {"bytes_available", static_cast<std::int64_t>(room)}},
        0});
  }
}

// The estimate for `spec` in bytes. Without a context of its own choice the user wants what fits: halve before refusing,
// counting what idle engines could give back.
Result<std::uint64_t> Supervisor::choose_context(EngineSpec& spec) const {
  SystemMemory memory = read_system_memory();
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, engine] : engines_) {
      if (engine->leasable && engine->in_flight == 0) memory.available += engine->used;
    }
  }
  const bool free_choice = spec.settings.context == 0;
  const ModelSettings& settings = spec.settings;
  spec.settings.context = wanted_context(settings, spec.facts);
  while (true) {
    const auto estimate = models::estimate_memory(
        spec.facts, {.context = std::uint64_t{settings.context} * settings.parallel,
                     .parallel = settings.parallel,
                     .ubatch = settings.ubatch,
                     .cache_type_k = settings.cache_type_k,
                     .cache_type_v = settings.cache_type_v,
                     .flash_attention = settings.flash_attention != FlashAttention::kOff});
    if (!estimate) return fail(estimate.error());
    const std::uint64_t total = estimate->total + settings.cache_ram.bytes;
    if (!free_choice || settings.context / 2 < 1024 || ledger_.missing(total, memory) == 0) return total;
    spec.settings.context /= 2;
  }
}

Task<void> Supervisor::start_engine(std::shared_ptr<Engine> engine) {
  const auto begin = Clock::now();
  EngineSpec spec;
  {
    const std::lock_guard lock(mutex_);
    spec = *engine->spec;
  }
  engine->start_cancel = CancelSource();
  Result<EngineInfo> outcome = fail(ErrorCode::kInternal, "not started");
  Result<std::uint64_t> wanted = std::uint64_t{0};
  Result<void> room;
  if (!engine->external) {
    wanted = choose_context(spec);
    room = wanted ? co_await make_room(engine, *wanted) : Result<void>(fail(wanted.error()));
  }
  if (!room) {
    outcome = fail(room.error());
  } else {
    engine->driver = factory_(spec);
    log_.info("engine starting", {{"model", spec.key}, {"estimate_bytes", *wanted}});
    outcome = co_await engine->driver->start(
        [this, raw = engine.get()](LoadProgress progress) {
          set_state(*raw, EngineState::kStarting, [&](EngineStatus& status) { status.progress = std::move(progress); });
        },
        [this, weak = std::weak_ptr(engine)](Error error) {
          if (const auto crashed = weak.lock()) on_crash(crashed, std::move(error));
        },
        engine->start_cancel.token());
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  if (outcome) {
    started(*engine, *outcome, *wanted, seconds);
    co_return;
  }
  engine->driver.reset();
  ledger_.release(spec.key);
  Error error = outcome.error();
  log_.error("engine failed to start", {{"model", spec.key}, {"error", error.message}, {"seconds", seconds}});
  set_state(*engine, EngineState::kFailed, [&](EngineStatus& status) {
    status.error = std::move(error);
    status.retry_at = Clock::now() + settings_.restart_backoff;
  });
}

void Supervisor::started(Engine& engine, const EngineInfo& info, std::uint64_t wanted, double seconds) {
  engine.ready_since = Clock::now();
  const std::uint64_t used = engine.driver->memory_bytes();
  ledger_.measured(engine.key, used);
  auto& model_metrics = metrics_.model(engine.key);
  model_metrics.engine_loaded(seconds);
  model_metrics.engine_memory(used);
  log_.info("engine ready", {{"model", engine.key},
                             {"pid", info.pid},
                             {"seconds", seconds},
                             {"context", info.context},
                             {"slots", info.slots},
                             {"memory_bytes", used}});
  {
    const std::lock_guard lock(mutex_);
    engine.info = std::make_shared<const EngineInfo>(info);
    engine.estimate = wanted;
    engine.used = used;
    engine.last_used = Clock::now();
    engine.leasable = true;
  }
  set_state(engine, EngineState::kReady, [&](EngineStatus& status) {
    status.info = info;
    status.progress = {"ready", 1};
    status.error = {};
  });
}

void Supervisor::set_state(Engine& engine, EngineState state, const std::function<void(EngineStatus&)>& change) {
  engine.status.update([&](EngineStatus& status) {
    status.state = state;
    if (change) change(status);
  });
  metrics_.model(engine.key).engine_state(to_string(state));
}

void Supervisor::on_crash(const std::shared_ptr<Engine>& engine, Error error) {
  std::uint32_t restarts = 0;
  {
    const std::lock_guard lock(mutex_);
    engine->leasable = false;
    if (Clock::now() - engine->ready_since > kHealthyAfter) engine->restarts = 0;
    restarts = ++engine->restarts;
  }
  ledger_.release(engine->key);
  metrics_.model(engine->key).engine_restarted();
  const auto factor = std::min<std::uint32_t>(restarts - 1, 6);
  const auto pause = std::min(settings_.restart_backoff * (1U << factor), kLongestBackoff);
  const bool again = restarts <= settings_.max_restarts && !stopping_.cancelled();
  log_.error("engine crashed", {{"model", engine->key},
                                {"error", error.message},
                                {"restarts", restarts},
                                {"restart_in_ms", again ? static_cast<std::int64_t>(pause.count()) : std::int64_t{-1}}});
  set_state(*engine, EngineState::kFailed, [&](EngineStatus& status) {
    status.error = std::move(error);
    status.retry_at = Clock::now() + pause;
  });
  if (again) tasks_.spawn(restart_later(engine, pause));
}

Task<void> Supervisor::restart_later(std::shared_ptr<Engine> engine, std::chrono::milliseconds pause) {
  // The driver cannot be destroyed inside its own exit callback; here it can.
  if (engine->driver) co_await engine->driver->stop();
  engine->driver.reset();
  Watch<int> never;
  co_await never.changed(1, stopping_.token(), pause);
  if (stopping_.cancelled() || engine->status.get().value.state != EngineState::kFailed) co_return;
  set_state(*engine, EngineState::kStarting, [](EngineStatus& status) { status.progress = {"restarting", 0}; });
  co_await start_engine(engine);
}

Task<void> Supervisor::stop_engine(std::shared_ptr<Engine> engine, EngineState after) {
  {
    const std::lock_guard lock(mutex_);
    engine->leasable = false;
  }
  set_state(*engine, EngineState::kStopping);
  if (engine->driver) co_await engine->driver->stop();
  engine->driver.reset();
  ledger_.release(engine->key);
  {
    const std::lock_guard lock(mutex_);
    engine->used = engine->estimate = 0;
  }
  metrics_.model(engine->key).engine_memory(0);
  log_.info("engine stopped", {{"model", engine->key}});
  set_state(*engine, after);
}

namespace {

// Runs `task` on the control loop and resumes the caller on its own.
template <class T>
Task<T> on_loop(Loop& loop, Task<T> task) {
  co_return co_await boost::asio::co_spawn(loop.executor(), std::move(task), use_task);
}

}  // namespace

Task<Result<void>> Supervisor::unload(std::string key, bool force) {
  std::shared_ptr<Engine> engine;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = engines_.find(key); found != engines_.end()) engine = found->second;
  }
  const auto state = engine ? engine->status.get().value.state : EngineState::kStopped;
  if (state == EngineState::kStopped) {
    co_return fail(ErrorCode::kNotFound, fmt::format("model \"{}\" is not loaded", key));
  }
  if (state == EngineState::kFailed) {
    co_return co_await on_loop(control_, [](Supervisor& self, std::shared_ptr<Engine> target) -> Task<Result<void>> {
      if (target->status.get().value.state == EngineState::kFailed) self.set_state(*target, EngineState::kStopped);
      co_return Result<void>();
    }(*this, engine));
  }
  if (state == EngineState::kStarting) {
    control_.post([engine] { engine->start_cancel.cancel(); });
  }
  {
    const std::lock_guard lock(mutex_);
    engine->leasable = false;  // no new request gets in
  }
  co_return co_await on_loop(control_, [](Supervisor& self, std::shared_ptr<Engine> target, bool now) -> Task<Result<void>> {
    while (true) {
      const auto [status, version] = target->status.get();
      if (status.state == EngineState::kStopped || status.state == EngineState::kFailed) co_return Result<void>();
      if (status.state == EngineState::kReady) {
        std::size_t busy = 0;
        {
          const std::lock_guard lock(self.mutex_);
          busy = target->in_flight;
        }
        if (busy == 0 || now) break;
      }
      co_await target->status.changed(version, {}, kIdleCheck);
    }
    co_await self.stop_engine(target, EngineState::kStopped);
    co_return Result<void>();
  }(*this, engine, force));
}

Task<Error> Supervisor::explain(const Lease& lease, Error seen) {
  Engine* const engine = lease.engine();
  if (!engine || engine->external) co_return seen;
  if (seen.code != ErrorCode::kEngineFailed && seen.code != ErrorCode::kUnavailable) co_return seen;
  // The socket breaks a moment before the process is reaped.
  const auto deadline = Clock::now() + std::chrono::seconds(2);
  while (Clock::now() < deadline) {
    const auto [status, version] = engine->status.get();
    if (status.state == EngineState::kFailed) {
      Error error = status.error;
      if (error.code != ErrorCode::kInsufficientMemory) error.code = ErrorCode::kEngineFailed;
      error.message += "; it is being restarted, try again";
      error.retry_after_s = 1;
      co_return error;
    }
    if (status.state != EngineState::kReady) break;
    co_await engine->status.changed(version, {}, std::chrono::milliseconds(2000));
  }
  co_return seen;
}

std::vector<EngineReport> Supervisor::report() const {
  std::vector<EngineReport> reports;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, engine] : engines_) {
    EngineReport report{key, engine->spec->model, engine->status.get().value, engine->in_flight, engine->estimate,
                        engine->used, engine->restarts, engine->keep_alive, 0, {}};
    if (engine->leasable && engine->in_flight == 0) {
      report.idle_ms = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - engine->last_used).count();
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

Task<void> Supervisor::watch_idle() {
  Watch<int> never;
  while (!stopping_.cancelled()) {
    co_await never.changed(1, stopping_.token(), kIdleCheck);
    std::vector<std::shared_ptr<Engine>> idle;
    std::vector<std::shared_ptr<Engine>> running;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [key, engine] : engines_) {
        if (!engine->leasable) continue;
        running.push_back(engine);
        if (engine->in_flight > 0 || engine->keep_alive.never() || engine->external) continue;
        if (Clock::now() - engine->last_used < std::chrono::milliseconds(engine->keep_alive.ms)) continue;
        engine->leasable = false;
        idle.push_back(engine);
      }
    }
    for (const auto& engine : running) {
      if (!engine->driver) continue;
      const auto used = engine->driver->memory_bytes();
      ledger_.measured(engine->key, used);
      metrics_.model(engine->key).engine_memory(used);
      const std::lock_guard lock(mutex_);
      engine->used = used;
    }
    for (const auto& engine : idle) {
      log_.info("engine idle", {{"model", engine->key}, {"keep_alive_ms", engine->keep_alive.ms}});
      co_await stop_engine(engine, EngineState::kStopped);
    }
  }
}

Task<void> Supervisor::stop() {
  std::vector<std::shared_ptr<Engine>> all;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    for (const auto& [key, engine] : engines_) all.push_back(engine);
  }
  stopping_.cancel();
  for (const auto& engine : all) engine->start_cancel.cancel();
  for (const auto& engine : all) {
    const auto state = engine->status.get().value.state;
    if (state == EngineState::kReady) tasks_.spawn(stop_engine(engine, EngineState::kStopped));
  }
  co_await tasks_.join();
  for (const auto& engine : all) engine->driver.reset();
}

}  // namespace llm::engines
