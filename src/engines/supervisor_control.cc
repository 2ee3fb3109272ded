// The supervisor's work on the control loop: start, stop, crash, restart.
#include <algorithm>
#include <boost/asio/post.hpp>
#include <cmath>
#include <fmt/format.h>

#include "engines/engine_record.h"
#include "engines/supervisor.h"

namespace llm::engines {
namespace {

constexpr auto kHealthyAfter = std::chrono::seconds(60);
constexpr auto kLongestBackoff = std::chrono::milliseconds(60'000);
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
  room_changed();
}

void Supervisor::begin_start(const std::shared_ptr<Engine>& engine, std::string phase, bool alone) {
  const auto attempt = ++engine->attempt;
  engine->start_cancel = CancelSource();
  engine->wanted_alone = alone;
  {
    const std::lock_guard lock(*guard_);
    engine->arrival = engine->waiters.empty() ? ++arrivals_ : *engine->waiters.begin();
  }
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
    co_await end_life(engine->life, engine->key);
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
  auto load = co_await prepare(engine, std::move(spec));
  if (!load) co_return fail(load.error());
  const CancelToken cancel = engine->start_cancel.token();
  if (cancel.cancelled()) co_return fail(given_up());
  load->spec.own_load = busy_threads();
  log_.info(
      "engine starting",
      {{"model", engine->key}, {"estimate_bytes", load->memory.total().total()}, {"memory", load->memory.text()}});
  const auto life = std::make_shared<EngineLife>();
  life->load = std::move(*load);
  life->driver = factory_(life->load.spec);
  engine->life = life;
  const auto attempt = engine->attempt;
  co_return co_await life->driver->start(
      [this, raw = engine.get(), attempt](LoadProgress progress) {
        if (raw->attempt != attempt || raw->status.get().value.state != EngineState::kStarting) return;
        set_state(*raw, EngineState::kStarting, [&](EngineStatus& status) { status.progress = std::move(progress); });
      },
      [this, weak = std::weak_ptr(engine), weak_life = std::weak_ptr(life)](Error error) {
        const auto crashed = weak.lock();
        const auto its_life = weak_life.lock();
        if (crashed && its_life) on_crash(crashed, its_life, std::move(error));
      },
      cancel);
}

void Supervisor::started(Engine& engine, const EngineInfo& info, double seconds) {
  {
    const std::lock_guard lock(*guard_);
    engine.info = std::make_shared<const EngineInfo>(info);
    engine.last_used = engine.ready_since = now_();
    engine.leasable = true;
    engine.leaving = engine.served = false;
    engine.fence.reset();
  }
  set_fences();  // a load that waits for its memory may have been here before some of its own requests
  measure_one(engine, read_machine());
  metrics_.model(engine.key).engine_loaded(seconds);
  log_.info("engine ready", {{"model", engine.key},
                             {"pid", info.pid},
                             {"seconds", seconds},
                             {"context", info.context},
                             {"slots", info.slots},
                             {"memory_bytes", engine.life->driver->memory_bytes()}});
  set_state(engine, EngineState::kReady, [&](EngineStatus& status) {
    status.info = info;
    status.progress = {"ready", 1};
  });
}

void Supervisor::start_failed(Engine& engine, Error error, double seconds) {
  forget_life(engine);
  if (engine.start_cancel.cancelled() || error.message.empty()) {  // empty: nobody waits for it any more
    log_.info("engine start given up", {{"model", engine.key}, {"seconds", seconds}});
    const bool unloaded = engine.start_cancel.cancelled();
    set_state(engine, EngineState::kStopped, [&](EngineStatus& status) {
      status.error = {};
      status.retry_at = {};
      if (!unloaded) return;
      status.error = {ErrorCode::kUnavailable,
                      fmt::format("model \"{}\" was unloaded while it was loading; ask again to load it", engine.key),
                      {},
                      {},
                      1};
    });
    return;
  }
  log_.error("engine failed to start", {{"model", engine.key}, {"error", error.message}, {"seconds", seconds}});
  set_state(engine, EngineState::kFailed, [&](EngineStatus& status) {
    status.error = std::move(error);
    status.retry_at = Clock::now() + settings_.restart_backoff;
  });
}

// Threads that our engines kept busy over the last minute, as the load average sees it.
double Supervisor::busy_threads() const {
  double threads = 0;
  const auto now = now_();
  const std::lock_guard lock(*guard_);
  for (const auto& [key, engine] : engines_) {
    if (engine->external || !engine->leasable || !engine->info) continue;
    const double idle = engine->in_flight > 0 ? 0 : std::chrono::duration<double>(now - engine->last_used).count();
    threads += engine->info->threads * std::exp(-idle / kLoadMinute);
  }
  return threads;
}

// Its driver and its memory are gone; the log stays.
void Supervisor::forget_life(Engine& engine) {
  if (engine.life) engine.last_log = engine.life->driver->last_log_lines();
  engine.life.reset();
  release_memory(engine);
  const std::lock_guard lock(*guard_);
  engine.leasable = engine.leaving = false;
  engine.fence.reset();
}

// Ends the driver, or lets go of it where it is to outlive an orderly stop of the gateway.
Task<void> Supervisor::end_life(std::shared_ptr<EngineLife> life, std::string key) {
  life->over.cancel();
  while (life->commanded) {
    const auto version = life->quiet.get().version;
    if (life->commanded) co_await life->quiet.changed(version, {}, std::nullopt);
  }
  if (stopping_.cancelled() && !life->ended && life->driver->keeps_running()) {
    log_.info("engine left running", {{"model", key}});
    co_return;
  }
  co_await life->driver->stop();
}

// Of a ready or sleeping engine; nothing to do for another.
Task<void> Supervisor::stop_engine(std::shared_ptr<Engine> engine) {
  const auto state = engine->status.get().value.state;
  if (state != EngineState::kReady && state != EngineState::kAsleep) co_return;
  {
    const std::lock_guard lock(*guard_);
    engine->leasable = false;
    engine->leaving = true;
  }
  set_state(*engine, EngineState::kStopping);
  co_await end_life(engine->life, engine->key);
  forget_life(*engine);
  {
    const std::lock_guard lock(*guard_);
    engine->asked_keep_alive.reset();
  }
  if (!learned_.save()) log_.warn("learned memory not saved", {{"file", settings_.learned_memory.string()}});
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
    if (status.state == EngineState::kReady || status.state == EngineState::kAsleep) {
      bool busy = false;
      {
        const std::lock_guard lock(*guard_);
        engine->leasable = false;  // no new request gets in
        engine->leaving = true;
        busy = engine->in_flight > 0;
      }
      room_changed();
      if (force || !busy) {
        co_await stop_engine(engine);
        break;
      }
    }
    co_await engine->status.changed(version, stopping_.token(), std::nullopt);
  }
  done->set(true);
}

void Supervisor::on_crash(const std::shared_ptr<Engine>& engine, const std::shared_ptr<EngineLife>& life, Error error) {
  const auto state = engine->status.get().value.state;
  if (engine->life != life) return;
  if (state != EngineState::kReady && state != EngineState::kAsleep) {
    life->ended = std::move(error);  // who puts it to sleep or wakes it up deals with it
    return;
  }
  life->ended = error;
  const bool awake = state == EngineState::kReady;
  std::uint32_t restarts = 0;
  bool again = false;
  {
    const std::lock_guard lock(*guard_);
    const bool healthy = now_() - engine->ready_since > kHealthyAfter;
    if (healthy) engine->restarts = 0;
    restarts = ++engine->restarts;
    // What slept is not needed now.
    again = awake && restarts <= settings_.max_restarts && !stopping_.cancelled();
    engine->crashed = engine->info;
    engine->crash = error;
    if (error.code != ErrorCode::kInsufficientMemory) engine->crash.code = ErrorCode::kEngineFailed;
    engine->crash.message += again ? "; it is being restarted, try again" : "; the next request starts it again";
    engine->crash.retry_after_s = 1;
  }
  metrics_.model(engine->key).engine_restarted();
  const auto factor = std::min<std::uint32_t>(restarts - 1, 6);
  const auto pause = std::min(settings_.restart_backoff * (1U << factor), kLongestBackoff);
  log_.error("engine crashed",
             {{"model", engine->key},
              {"error", error.message},
              {"restarts", restarts},
              {"restart_in_ms", again ? static_cast<std::int64_t>(pause.count()) : std::int64_t{-1}}});
  forget_life(*engine);
  tasks_.spawn(bury(life, engine->key));
  set_state(*engine, EngineState::kFailed, [&](EngineStatus& status) {
    status.error = std::move(error);
    status.retry_at = Clock::now() + pause;
  });
  if (again) tasks_.spawn(restart_later(engine, engine->attempt, pause));
}

// A driver cannot be destroyed inside its own exit callback; here it can.
Task<void> Supervisor::bury(std::shared_ptr<EngineLife> life, std::string key) {
  co_await boost::asio::post(control_.executor(), use_task);
  co_await end_life(std::move(life), std::move(key));
}

Task<void> Supervisor::restart_later(std::shared_ptr<Engine> engine, std::uint64_t attempt,
                                     std::chrono::milliseconds pause) {
  Watch<int> never;
  co_await never.changed(1, stopping_.token(), pause);
  const bool wanted = engine->attempt == attempt && engine->status.get().value.state == EngineState::kFailed;
  if (wanted && !stopping_.cancelled()) begin_start(engine, "restarting", true);
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
    if (engine->life) engine->life->over.cancel();
    tasks_.spawn(stop_engine(engine));
  }
  co_await tasks_.join();
  if (!learned_.save()) log_.warn("learned memory not saved", {{"file", settings_.learned_memory.string()}});
}

}  // namespace llm::engines
