// The supervisor's work on the control loop: start, stop, restart, make room, unload what is idle.
#include <algorithm>
#include <boost/asio/post.hpp>
#include <cmath>
#include <fmt/format.h>

#include "base/strings.h"
#include "engines/engine_record.h"
#include "engines/llama_server.h"
#include "engines/supervisor.h"
#include "models/memory_estimate.h"

namespace llm::engines {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kIdleCheck = std::chrono::milliseconds(200);
constexpr int kChecksPerMeasure = 5;  // memory in use is read once a second
constexpr auto kHealthyAfter = std::chrono::seconds(60);
constexpr auto kLongestBackoff = std::chrono::milliseconds(60'000);
constexpr std::uint32_t kLeastContext = 1024;
constexpr std::uint64_t kMostBytes = 1ULL << 62;
constexpr double kLoadMinute = 60;  // seconds: what the load average looks back on

Error given_up() {
  return {ErrorCode::kCancelled, "the load was given up", {}, {}, 0};
}

}  // namespace

void Supervisor::set_state(Engine& engine, EngineState state, const std::function<void(EngineStatus&)>& change) {
  engine.status.update([&](EngineStatus& status) {
    status.state = state;
    if (change) change(status);
  });
  metrics_.model(engine.key).engine_state(to_string(state));
}

void Supervisor::begin_start(const std::shared_ptr<Engine>& engine, std::string phase) {
  const auto attempt = ++engine->attempt;
  engine->start_cancel = CancelSource();
  set_state(*engine, EngineState::kStarting, [&](EngineStatus& status) {
    status.progress = {std::move(phase), 0};
    status.error = {};
    status.attempt = attempt;
  });
  tasks_.spawn(start_engine(engine));
}

Task<void> Supervisor::start_engine(std::shared_ptr<Engine> engine) {
  const auto begin = Clock::now();
  EngineSpec spec;
  {
    const std::lock_guard lock(*guard_);
    spec = *engine->spec;
  }
  auto outcome = co_await start_driver(engine, std::move(spec));
  if (outcome && engine->start_cancel.cancelled()) {  // too late for the driver to notice
    co_await engine->driver->stop();
    outcome = fail(given_up());
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  if (outcome) {
    started(*engine, *outcome, seconds);
  } else {
    start_failed(*engine, outcome.error(), seconds);
  }
}

Task<Result<EngineInfo>> Supervisor::start_driver(std::shared_ptr<Engine> engine, EngineSpec spec) {
  std::uint64_t wanted = 0;
  if (!engine->external) {
    const auto chosen = choose_context(spec);
    if (!chosen) co_return fail(chosen.error());
    wanted = *chosen;
    if (auto room = co_await make_room(engine, wanted); !room) co_return fail(room.error());
    spec.own_load = busy_threads();
    const std::lock_guard lock(*guard_);
    engine->estimate = wanted;
  }
  const CancelToken cancel = engine->start_cancel.token();
  if (cancel.cancelled()) co_return fail(given_up());
  log_.info("engine starting", {{"model", engine->key}, {"estimate_bytes", wanted}});
  engine->driver = factory_(spec);
  const auto attempt = engine->attempt;
  co_return co_await engine->driver->start(
      [this, raw = engine.get(), attempt](LoadProgress progress) {
        if (raw->attempt != attempt || raw->status.get().value.state != EngineState::kStarting) return;
        set_state(*raw, EngineState::kStarting, [&](EngineStatus& status) { status.progress = std::move(progress); });
      },
      [this, weak = std::weak_ptr(engine), attempt](Error error) {
        if (const auto crashed = weak.lock()) on_crash(crashed, attempt, std::move(error));
      },
      cancel);
}

void Supervisor::started(Engine& engine, const EngineInfo& info, double seconds) {
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
    const std::lock_guard lock(*guard_);
    engine.info = std::make_shared<const EngineInfo>(info);
    engine.used = used;
    engine.last_used = Clock::now();
    engine.leasable = true;
  }
  set_state(engine, EngineState::kReady, [&](EngineStatus& status) {
    status.info = info;
    status.progress = {"ready", 1};
  });
}

void Supervisor::start_failed(Engine& engine, Error error, double seconds) {
  if (engine.driver) engine.last_log = engine.driver->last_log_lines();
  engine.driver.reset();
  ledger_.release(engine.key);
  {
    const std::lock_guard lock(*guard_);
    engine.estimate = engine.used = 0;
  }
  if (engine.start_cancel.cancelled()) {
    log_.info("engine start given up", {{"model", engine.key}, {"seconds", seconds}});
    set_state(engine, EngineState::kStopped, [&](EngineStatus& status) {
      status.error = {ErrorCode::kUnavailable,
                      fmt::format("model \"{}\" was unloaded while it was loading; ask again to load it", engine.key),
                      {},
                      {},
                      1};
      status.retry_at = {};
    });
    return;
  }
  log_.error("engine failed to start", {{"model", engine.key}, {"error", error.message}, {"seconds", seconds}});
  set_state(engine, EngineState::kFailed, [&](EngineStatus& status) {
    status.error = std::move(error);
    status.retry_at = Clock::now() + settings_.restart_backoff;
  });
}

// Local engines that nobody uses or waits for, the longest unused first.
std::vector<std::string> Supervisor::idle_engines() const {
  std::vector<std::pair<Clock::time_point, std::string>> found;
  {
    const std::lock_guard lock(*guard_);
    for (const auto& [key, engine] : engines_) {
      if (!engine->external && engine->idle()) found.emplace_back(engine->last_used, key);
    }
  }
  std::ranges::sort(found);
  std::vector<std::string> keys;
  for (auto& [used, key] : found) keys.push_back(std::move(key));
  return keys;
}

// Threads that our engines kept busy over the last minute, as the load average sees it.
double Supervisor::busy_threads() const {
  double threads = 0;
  const auto now = Clock::now();
  const std::lock_guard lock(*guard_);
  for (const auto& [key, engine] : engines_) {
    if (engine->external || !engine->leasable || !engine->info) continue;
    const double idle = engine->in_flight > 0 ? 0 : std::chrono::duration<double>(now - engine->last_used).count();
    threads += engine->info->threads * std::exp(-idle / kLoadMinute);
  }
  return threads;
}

Task<Result<void>> Supervisor::make_room(std::shared_ptr<Engine> engine, std::uint64_t wanted) {
  while (true) {
    if (engine->start_cancel.cancelled()) co_return fail(given_up());
    const SystemMemory memory = memory_();
    const std::uint64_t missing = ledger_.missing(wanted, memory);
    if (missing == 0) {
      ledger_.reserve(engine->key, wanted);
      co_return Result<void>();
    }
    std::shared_ptr<Engine> leaving;  // gives its memory back in a moment
    {
      const std::lock_guard lock(*guard_);
      for (const auto& [key, other] : engines_) {
        if (!other->external && other->status.get().value.state == EngineState::kStopping) leaving = other;
      }
    }
    if (leaving) {
      const auto [status, version] = leaving->status.get();
      if (status.state == EngineState::kStopping) {
        co_await leaving->status.changed(version, engine->start_cancel.token(), std::nullopt);
      }
      continue;
    }
    const auto idle = idle_engines();
    // Nothing is unloaded for a load that would be refused all the same.
    if (!idle.empty() && ledger_.missing(wanted, memory, idle) == 0) {
      const auto oldest = find(idle.front());
      bool taken = false;
      if (oldest) {
        const std::lock_guard lock(*guard_);
        taken = oldest->idle();
        if (taken) oldest->leasable = false;
      }
      if (!taken) continue;  // a request was quicker
      log_.info("engine unloaded to make room", {{"model", oldest->key}, {"for", engine->key}});
      co_await stop_engine(oldest);
      continue;
    }
    const std::uint64_t room = wanted - missing;
    co_return fail(Error{
        ErrorCode::kInsufficientMemory,
        fmt::format(
            "model \"{}\" needs about {} (weights, KV cache and buffers), and {} of {} can be used{}. Set a "
            "smaller context or fewer parallel slots (models.settings), unload other models, or raise "
            "engines.memory_limit",
            engine->key, format_bytes(wanted), format_bytes(room), format_bytes(memory.total),
            ledger_.limit() > 0 ? fmt::format(" (engines.memory_limit is {})", format_bytes(ledger_.limit())) : ""),
        {},
        {{"bytes_needed", static_cast<std::int64_t>(wanted)}, {"bytes_available", static_cast<std::int64_t>(room)}},
        0});
  }
}

// The estimate for `spec` in bytes. Without a context of its own choice the user wants what fits: halve before
// refusing, counting what idle engines could give back.
Result<std::uint64_t> Supervisor::choose_context(EngineSpec& spec) const {
  const SystemMemory memory = memory_();
  const auto idle = idle_engines();
  const bool free_choice = spec.settings.context == 0;
  const ModelSettings& settings = spec.settings;
  spec.settings.context = wanted_context(settings, spec.facts);
  while (true) {
    const auto estimate =
        models::estimate_memory(spec.facts, {.context = std::uint64_t{settings.context} * settings.parallel,
                                             .parallel = settings.parallel,
                                             .ubatch = settings.ubatch,
                                             .cache_type_k = settings.cache_type_k,
                                             .cache_type_v = settings.cache_type_v,
                                             .flash_attention = settings.flash_attention != FlashAttention::kOff});
    if (!estimate) return fail(estimate.error());
    std::uint64_t total = 0;  // the header's numbers are the file's claim: the sum may not wrap
    if (__builtin_add_overflow(estimate->total, settings.cache_ram.bytes, &total)) total = kMostBytes;
    total = std::min(total, kMostBytes);
    if (!free_choice || settings.context / 2 < kLeastContext || ledger_.missing(total, memory, idle) == 0) return total;
    spec.settings.context /= 2;
  }
}

// Of a ready engine; nothing to do for another.
Task<void> Supervisor::stop_engine(std::shared_ptr<Engine> engine) {
  if (engine->status.get().value.state != EngineState::kReady) co_return;
  {
    const std::lock_guard lock(*guard_);
    engine->leasable = false;
  }
  set_state(*engine, EngineState::kStopping);
  co_await engine->driver->stop();
  engine->last_log = engine->driver->last_log_lines();
  engine->driver.reset();
  ledger_.release(engine->key);
  {
    const std::lock_guard lock(*guard_);
    engine->used = engine->estimate = 0;
    engine->asked_keep_alive.reset();
  }
  metrics_.model(engine->key).engine_memory(0);
  log_.info("engine stopped", {{"model", engine->key}});
  set_state(*engine, EngineState::kStopped, [](EngineStatus& status) { status.error = {}; });
}

Task<void> Supervisor::unload_engine(std::shared_ptr<Engine> engine, bool force, std::shared_ptr<Watch<bool>> done) {
  while (!stopping_.cancelled()) {  // then stop() does it
    const auto [status, version] = engine->status.get();
    if (status.state == EngineState::kStopped) break;
    if (status.state == EngineState::kFailed) {
      set_state(*engine, EngineState::kStopped, [](EngineStatus& failed) { failed.error = {}; });
      break;
    }
    if (status.state == EngineState::kStarting) engine->start_cancel.cancel();
    if (status.state == EngineState::kReady) {
      bool busy = false;
      {
        const std::lock_guard lock(*guard_);
        engine->leasable = false;  // no new request gets in
        busy = engine->in_flight > 0;
      }
      if (force || !busy) {
        co_await stop_engine(engine);
        break;
      }
    }
    co_await engine->status.changed(version, stopping_.token(), std::nullopt);
  }
  done->set(true);
}

void Supervisor::on_crash(const std::shared_ptr<Engine>& engine, std::uint64_t attempt, Error error) {
  if (engine->attempt != attempt || engine->status.get().value.state != EngineState::kReady) return;
  const bool healthy = Clock::now() - engine->ready_since > kHealthyAfter;
  std::uint32_t restarts = 0;
  bool again = false;
  {
    const std::lock_guard lock(*guard_);
    engine->leasable = false;
    engine->used = engine->estimate = 0;
    if (healthy) engine->restarts = 0;
    restarts = ++engine->restarts;
    again = restarts <= settings_.max_restarts && !stopping_.cancelled();
    engine->crashed = engine->info;
    engine->crash = error;
    if (error.code != ErrorCode::kInsufficientMemory) engine->crash.code = ErrorCode::kEngineFailed;
    engine->crash.message += again ? "; it is being restarted, try again" : "; the next request starts it again";
    engine->crash.retry_after_s = 1;
  }
  ledger_.release(engine->key);
  metrics_.model(engine->key).engine_restarted();
  metrics_.model(engine->key).engine_memory(0);
  const auto factor = std::min<std::uint32_t>(restarts - 1, 6);
  const auto pause = std::min(settings_.restart_backoff * (1U << factor), kLongestBackoff);
  log_.error("engine crashed",
             {{"model", engine->key},
              {"error", error.message},
              {"restarts", restarts},
              {"restart_in_ms", again ? static_cast<std::int64_t>(pause.count()) : std::int64_t{-1}}});
  engine->last_log = engine->driver->last_log_lines();
  tasks_.spawn(bury(std::move(engine->driver)));
  set_state(*engine, EngineState::kFailed, [&](EngineStatus& status) {
    status.error = std::move(error);
    status.retry_at = Clock::now() + pause;
  });
  if (again) tasks_.spawn(restart_later(engine, attempt, pause));
}

// A driver cannot be destroyed inside its own exit callback; here it can.
Task<void> Supervisor::bury(std::unique_ptr<Driver> driver) {
  co_await boost::asio::post(control_.executor(), use_task);
  co_await driver->stop();
}

Task<void> Supervisor::restart_later(std::shared_ptr<Engine> engine, std::uint64_t attempt,
                                     std::chrono::milliseconds pause) {
  Watch<int> never;
  co_await never.changed(1, stopping_.token(), pause);
  const bool wanted = engine->attempt == attempt && engine->status.get().value.state == EngineState::kFailed;
  if (wanted && !stopping_.cancelled()) begin_start(engine, "restarting");
}

void Supervisor::measure() {
  std::vector<std::shared_ptr<Engine>> running;
  {
    const std::lock_guard lock(*guard_);
    for (const auto& [key, engine] : engines_) {
      if (engine->leasable && !engine->external) running.push_back(engine);
    }
  }
  for (const auto& engine : running) {
    const auto used = engine->driver->memory_bytes();
    ledger_.measured(engine->key, used);
    metrics_.model(engine->key).engine_memory(used);
    const std::lock_guard lock(*guard_);
    engine->used = used;
  }
}

// Models of external engines can be asked for by any name: the ones nobody uses must not pile up.
void Supervisor::forget_unused() {
  const std::lock_guard lock(*guard_);
  std::erase_if(engines_, [](const auto& entry) {
    const auto& engine = entry.second;
    if (!engine->external || engine.use_count() > 1) return false;
    const auto status = engine->status.get().value;
    return status.state == EngineState::kStopped ||
           (status.state == EngineState::kFailed && status.retry_at < Clock::now());
  });
}

Task<void> Supervisor::watch_idle() {
  Watch<int> never;
  for (int round = 0; !stopping_.cancelled(); round = (round + 1) % kChecksPerMeasure) {
    co_await never.changed(1, stopping_.token(), kIdleCheck);
    if (round == 0) {
      measure();
      forget_unused();
    }
    std::vector<std::shared_ptr<Engine>> idle;
    {
      const std::lock_guard lock(*guard_);
      for (const auto& [key, engine] : engines_) {
        const auto keep = engine->keep_alive();
        if (!engine->idle() || keep.never()) continue;
        if (Clock::now() - engine->last_used < std::chrono::milliseconds(keep.ms)) continue;
        engine->leasable = false;
        idle.push_back(engine);
        log_.info("engine idle", {{"model", engine->key}, {"keep_alive_ms", keep.ms}});
      }
    }
    for (auto& engine : idle) tasks_.spawn(stop_engine(std::move(engine)));
  }
}

Task<void> Supervisor::stop() {
  std::vector<std::shared_ptr<Engine>> all;
  {
    const std::lock_guard lock(*guard_);
    stopped_ = true;
    for (const auto& [key, engine] : engines_) all.push_back(engine);
  }
  stopping_.cancel();
  for (const auto& engine : all) {
    engine->start_cancel.cancel();
    tasks_.spawn(stop_engine(engine));
  }
  co_await tasks_.join();
}

}  // namespace llm::engines
