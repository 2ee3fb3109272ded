// What time brings about: engines that nobody needs are stopped or put to sleep, memory is measured, names forgotten.
#include <algorithm>

#include "engines/engine_record.h"
#include "engines/supervisor.h"

namespace llm::engines {
namespace {

constexpr auto kIdleCheck = std::chrono::milliseconds(200);
constexpr int kChecksPerMeasure = 5;  // memory in use is read once a second

}  // namespace

void Supervisor::measure() {
  std::vector<std::shared_ptr<Engine>> running;
  {
    const std::lock_guard lock(*guard_);
    for (const auto& [key, engine] : engines_) {
      const auto state = engine->status.get().value.state;
      const bool up = state == EngineState::kReady || state == EngineState::kAsleep;
      if (up && !engine->external) running.push_back(engine);
    }
  }
  if (running.empty()) return;
  const MachineMemory machine = read_machine();
  ledger_.observe(machine);
  for (const auto& engine : running) {
    if (engine->life) measure_one(*engine, machine);
  }
}

void Supervisor::measure_one(Engine& engine, const MachineMemory& machine) {
  EngineLife& life = *engine.life;
  const MemoryDemand now{.host = life.driver->memory_bytes(), .devices = ledger_.device_use(engine.key, machine)};
  ledger_.measured(engine.key, now.host);
  metrics_.model(engine.key).engine_memory(now.host);
  bool served = false;
  bool awake = false;
  {
    const std::lock_guard lock(*guard_);
    engine.measured = now;
    served = engine.served;
    awake = engine.leasable;
  }
  if (!awake || !uses_memory(life.load.spec)) return;
  life.peak.host = std::max(life.peak.host, now.host);
  for (const auto& [device, bytes] : now.devices)
    life.peak.devices[device] = std::max(life.peak.devices[device], bytes);
  learned_.learn(life.load.spec, life.load.estimate, life.peak, served);
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

void Supervisor::stop_idle() {
  std::vector<std::shared_ptr<Engine>> idle;
  {
    const std::lock_guard lock(*guard_);
    for (const auto& [key, engine] : engines_) {
      const auto keep = engine->keep_alive();
      if (!engine->idle() || keep.never()) continue;
      if (now_() - engine->last_used < std::chrono::milliseconds(keep.ms)) continue;
      engine->leasable = false;
      engine->leaving = true;
      idle.push_back(engine);
      log_.info("engine idle", {{"model", engine->key}, {"keep_alive_ms", keep.ms}});
    }
  }
  for (auto& engine : idle) tasks_.spawn(retire(std::move(engine), true));
}

Task<void> Supervisor::watch_idle() {
  Watch<int> never;
  for (int round = 0; !stopping_.cancelled(); round = (round + 1) % kChecksPerMeasure) {
    co_await never.changed(1, stopping_.token(), kIdleCheck);
    if (round == 0) {
      measure();
      forget_unused();
    }
    stop_idle();
    if (!queue_.empty()) room_changed();
  }
}

void Supervisor::check_now() {
  control_.post([this, alive = std::weak_ptr(alive_)] {
    if (alive.expired() || stopping()) return;
    measure();
    stop_idle();
    room_changed();
  });
}

}  // namespace llm::engines
