// Who gets memory, and who has to go for it.
//
// A load that does not fit stops idle engines, as few as will do, and never one that is pinned or younger than its
// min_residency. If those do not make room, engines outside our control are asked to give back theirs. If only busy or
// young engines could make room, the load waits for them in a queue by arrival: from the end of an engine's
// min_residency on, requests that came later than the load get no lease on it any more (its fence) and wait in turn;
// when the earlier ones are done it is stopped. So alternating requests for two models that do not fit together are
// served in batches, each as long as min_residency and the requests that run at its end, and nobody starves.
#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.h"
#include "engines/engine_record.h"
#include "engines/memory_eviction.h"
#include "engines/supervisor.h"

namespace llm::engines {
namespace {

constexpr std::size_t kMostHoldersShown = 5;

std::vector<std::string> keys_of(const std::vector<Evictable>& engines) {
  std::vector<std::string> keys;
  for (const auto& engine : engines) keys.push_back(engine.key);
  return keys;
}

void append(std::vector<std::string>& to, const std::vector<std::string>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

}  // namespace

// A load that needs memory, from asking to having it.
struct Supervisor::RoomRequest {
  std::shared_ptr<Engine> engine;
  EngineSpec spec;
  bool others_asked = false;                // engines outside our control
  std::vector<std::string> victims = {};    // who has to go for it, once their time is over
  std::vector<std::string> relies_on = {};  // they, and who stops already
  std::optional<EngineSpec> settled = {};   // with context, layers and GPUs as they would be
  std::uint64_t arrival() const { return engine->arrival; }
  // A sleeping engine that wakes up has part of its memory already: it counts as given back first.
  std::vector<std::string> self() const { return {engine->key}; }
};

// What to do next for one.
struct Supervisor::RoomStep {
  enum class Kind { kReserved, kWait, kStop, kAskOthers, kRefuse };
  Kind kind = Kind::kWait;
  PlannedLoad load = {};                               // kReserved
  std::vector<std::shared_ptr<Engine>> stopping = {};  // kStop: idle, and marked as leaving
  bool may_sleep = false;                              // kStop: sleeping gives back enough
  std::uint64_t missing = 0;                           // kAskOthers
  Error error = {};                                    // kRefuse
};

// Who holds memory at the moment, but for the pinned.
struct Supervisor::Survey {
  std::vector<std::string> going;    // stops or falls asleep already
  std::vector<Evictable> now;        // could go at once
  std::vector<Evictable> later;      // busy, young or still starting
  std::vector<std::string> claimed;  // will go for somebody who was here before, or waits to be woken itself
};

MachineMemory Supervisor::read_machine() const {
  return {.host = memory_(), .gpus = settings_.gpus ? settings_.gpus() : std::vector<Gpu>{}};
}

void Supervisor::set_memory(Engine& engine, const MemoryPlan& memory, const std::vector<std::uint32_t>& gpus) {
  MemoryPlan before;
  {
    const std::lock_guard lock(*guard_);
    before = std::exchange(engine.memory, memory);
    engine.gpus = gpus;
    if (engine.spec->external) return;
  }
  const auto gauge = [&](const MemoryLine& line) -> observe::Gauge& {
    return metrics_.registry().gauge(
        "llm_mcp_engine_memory_planned_bytes",
        "Memory reserved for an engine, by place (host, gpu0) and what it is for.",
        {{"model", engine.key}, {"device", place_name(line.device)}, {"kind", std::string(to_string(line.kind))}});
  };
  for (const auto& line : before.lines) gauge(line).set(0);
  for (const auto& line : memory.lines) gauge(line).set(static_cast<double>(line.bytes));
}

void Supervisor::release_memory(Engine& engine) {
  ledger_.release(engine.key);
  set_memory(engine, {}, {});
  metrics_.model(engine.key).engine_memory(0);
  const std::lock_guard lock(*guard_);
  engine.measured = {};
}

bool Supervisor::old_enough(const Engine& engine) const {
  const auto residency = engine.spec->settings.min_residency.value_or(settings_.min_residency);
  return now_() - engine.ready_since >= std::chrono::milliseconds(residency.ms);
}

// Does nobody want this load any more?
bool Supervisor::abandoned(const Engine& engine) const {
  const std::lock_guard lock(*guard_);
  return engine.waiters.empty() && !engine.wanted_alone;
}

// Memory for the load, reserved; or nothing needed.
Task<Result<PlannedLoad>> Supervisor::prepare(std::shared_ptr<Engine> engine, EngineSpec spec) {
  if (!uses_memory(spec)) co_return PlannedLoad{.spec = std::move(spec)};
  if (spec.vllm && settings_.running_on) {
    if (auto running = co_await settings_.running_on(spec)) {
      spec.gpus = running->empty() ? learned_.last_placement(spec.key) : std::move(*running);
      const MachineMemory machine = read_machine();
      ledger_.observe(machine);
      auto load = planner_.plan(std::move(spec), machine, {});
      if (!load) co_return load;
      ledger_.adopt(engine->key, load->memory.total());
      set_memory(*engine, load->memory, load->spec.gpus);
      co_return load;
    }
  }
  auto load = co_await make_room(engine, std::move(spec));
  if (load && !load->spec.gpus.empty()) {
    learned_.placed(engine->key, load->spec.gpus);
    if (!learned_.save()) log_.warn("learned memory not saved", {{"file", settings_.learned_memory.string()}});
  }
  co_return load;
}

Task<Result<PlannedLoad>> Supervisor::make_room(std::shared_ptr<Engine> engine, EngineSpec spec) {
  RoomRequest mine{.engine = engine, .spec = std::move(spec)};
  struct Place {  // in the queue
    Supervisor& supervisor;
    RoomRequest& request;
    Place(Supervisor& owner, RoomRequest& one) : supervisor(owner), request(one) {
      auto& queue = owner.queue_;
      queue.insert(std::ranges::upper_bound(queue, one.arrival(), {}, &RoomRequest::arrival), &one);
      set_needs_room(true);
    }
    ~Place() {
      std::erase(supervisor.queue_, &request);
      set_needs_room(false);
      supervisor.set_fences();
      supervisor.room_changed();
    }
    void set_needs_room(bool needs) const {
      const std::lock_guard lock(*supervisor.guard_);
      request.engine->needs_room = needs;
    }
  } place(*this, mine);
  const CancelToken cancel = engine->start_cancel.token();
  while (true) {
    const auto version = room_->get().version;
    if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "the load was given up");
    RoomStep step = next_step(mine);
    set_fences();
    switch (step.kind) {
      case RoomStep::Kind::kReserved:
        co_return std::move(step.load);
      case RoomStep::Kind::kRefuse:
        co_return fail(std::move(step.error));
      case RoomStep::Kind::kStop:
        for (auto& victim : step.stopping) {
          log_.info("engine unloaded to make room", {{"model", victim->key}, {"for", engine->key}});
          tasks_.spawn(retire(std::move(victim), step.may_sleep));
        }
        break;
      case RoomStep::Kind::kAskOthers: {
        mine.others_asked = true;
        const auto freed = co_await settings_.evict_others(step.missing);
        log_.info("engines outside our control asked for memory",
                  {{"for", engine->key}, {"missing_bytes", step.missing}, {"freed_bytes", freed}});
        break;
      }
      case RoomStep::Kind::kWait:
        if (abandoned(*engine)) co_return fail(ErrorCode::kCancelled, "");
        if (engine->status.get().value.progress.phase != "waiting for memory") {
          set_state(*engine, EngineState::kStarting,
                    [](EngineStatus& status) { status.progress = {"waiting for memory", 0}; });
        }
        co_await room_->changed(version, cancel, std::nullopt);
    }
  }
}

Supervisor::Survey Supervisor::survey(const RoomRequest& mine) const {
  Survey found;
  std::vector<std::string> earlier;
  for (const auto* request : queue_) {
    if (request == &mine) break;
    append(earlier, request->victims);
  }
  const std::lock_guard lock(*guard_);
  for (const auto& [key, engine] : engines_) {
    if (engine == mine.engine || ledger_.reserved(key).empty()) continue;
    const auto state = engine->status.get().value.state;
    const bool busy = engine->in_flight > 0 || !engine->waiters.empty();
    const Evictable one{.key = key, .priority = engine->priority(), .busy = busy, .last_used = engine->last_used};
    if (state == EngineState::kStopping || engine->leaving) {
      found.going.push_back(key);
    } else if (engine->pinned()) {
      continue;
    } else if (engine->needs_room || std::ranges::find(earlier, key) != earlier.end()) {
      found.claimed.push_back(key);
    } else if (state == EngineState::kAsleep ||
               (engine->leasable && engine->drained(mine.arrival()) && old_enough(*engine))) {
      found.now.push_back(one);
    } else {
      found.later.push_back(one);
    }
  }
  return found;
}

Supervisor::RoomStep Supervisor::next_step(RoomRequest& mine) {
  using Kind = RoomStep::Kind;
  const MachineMemory machine = read_machine();
  ledger_.observe(machine);
  mine.victims.clear();
  const Survey found = survey(mine);
  mine.relies_on = found.going;
  std::vector<Evictable> anybody = found.now;
  anybody.insert(anybody.end(), found.later.begin(), found.later.end());

  // What is open (context, layers) follows from what idle engines could give back; failing that, from what all could.
  std::vector<std::string> gone = mine.self();
  append(gone, found.going);
  append(gone, keys_of(found.now));
  auto load = planner_.choose(mine.spec, machine, gone);
  if (load && !load->fits()) {
    append(gone, keys_of(found.later));
    append(gone, found.claimed);
    load = planner_.choose(mine.spec, machine, gone);
  }
  if (!load) return {.kind = Kind::kRefuse, .error = load.error()};
  mine.settled = load->spec;
  const bool ever = load->fits();

  const auto fits = [&](std::span<const std::string> without) {
    std::vector<std::string> given = mine.self();
    given.insert(given.end(), without.begin(), without.end());
    const auto planned = planner_.plan(*mine.settled, machine, given);
    return planned && planned->fits();
  };
  const auto now = planner_.plan(*mine.settled, machine, mine.self());
  if (!now) return {.kind = Kind::kRefuse, .error = now.error()};
  if (now->fits()) {
    if (!reserve(mine, *now, machine)) return {.kind = Kind::kWait};  // somebody else's turn
    return {.kind = Kind::kReserved, .load = *now};
  }
  if (!found.going.empty() && fits(found.going)) return {.kind = Kind::kWait};
  if (const auto victims = choose_victims(found.now, found.going, fits)) {
    append(mine.relies_on, *victims);
    return stop_step(*victims, now->missing.host == 0);
  }
  if (settings_.evict_others && !mine.others_asked) return {.kind = Kind::kAskOthers, .missing = now->missing.total()};
  if (auto victims = choose_victims(std::move(anybody), found.going, fits)) {
    append(mine.relies_on, *victims);
    mine.victims = std::move(*victims);
    return {.kind = Kind::kWait};
  }
  if (ever) return {.kind = Kind::kWait};  // after those who were here before
  return {.kind = Kind::kRefuse, .error = no_room(mine, *load, machine)};
}

// Takes the memory, unless somebody who was here before could then no longer be served with those gone that will go
// for it.
bool Supervisor::reserve(const RoomRequest& mine, const PlannedLoad& load, const MachineMemory& machine) {
  const std::string& key = mine.engine->key;
  const auto served = [&](const RoomRequest& earlier) {
    std::vector<std::string> gone = earlier.self();
    append(gone, earlier.relies_on);
    const auto planned = planner_.plan(*earlier.settled, machine, gone);
    return planned && planned->fits();
  };
  std::vector<const RoomRequest*> before;
  for (const auto* request : queue_) {
    if (request == &mine) break;
    if (request->settled && served(*request)) before.push_back(request);
  }
  const MemoryDemand had = ledger_.reserved(key);
  ledger_.reserve(key, load.memory.total());
  if (!std::ranges::all_of(before, [&](const RoomRequest* request) { return served(*request); })) {
    had.empty() ? ledger_.release(key) : ledger_.reserve(key, had);
    return false;
  }
  set_memory(*mine.engine, load.memory, load.spec.gpus);
  return true;
}

Supervisor::RoomStep Supervisor::stop_step(const std::vector<std::string>& keys, bool may_sleep) {
  RoomStep step{.kind = RoomStep::Kind::kStop, .may_sleep = may_sleep};
  const std::lock_guard lock(*guard_);
  for (const auto& key : keys) {
    const auto found = engines_.find(key);
    if (found == engines_.end()) continue;
    Engine& engine = *found->second;
    // A request may have been quicker since the survey.
    const bool asleep = engine.status.get().value.state == EngineState::kAsleep;
    if (!asleep && (!engine.leasable || engine.in_flight > 0)) continue;
    engine.leasable = false;
    engine.leaving = true;
    step.stopping.push_back(found->second);
  }
  return step;
}

// From now on requests that came later than the load that claims an engine wait.
void Supervisor::set_fences() {
  std::map<std::string, std::uint64_t> fences;
  for (const auto* request : queue_) {
    for (const auto& key : request->victims) fences.emplace(key, request->arrival());  // the first claims it
  }
  std::vector<std::shared_ptr<Engine>> changed;
  {
    const std::lock_guard lock(*guard_);
    for (const auto& [key, engine] : engines_) {
      const auto claimed = fences.find(key);
      std::optional<std::uint64_t> fence;
      if (claimed != fences.end() && engine->leasable && old_enough(*engine)) fence = claimed->second;
      if (engine->fence == fence) continue;
      engine->fence = fence;
      changed.push_back(engine);
    }
  }
  for (const auto& engine : changed) engine->status.update([](EngineStatus&) {});
}

// "a 2.1 GiB (ready, 3 requests), b 4.0 GiB (pinned)"
std::string Supervisor::holders() const {
  std::vector<std::string> texts;
  std::size_t more = 0;
  const std::lock_guard lock(*guard_);
  for (const auto& [key, engine] : engines_) {
    const auto& demand = ledger_.reserved(key);
    if (demand.empty()) continue;
    if (texts.size() == kMostHoldersShown) {
      ++more;
      continue;
    }
    std::string why(to_string(engine->status.get().value.state));
    if (engine->pinned()) why += ", pinned";
    if (engine->in_flight > 0)
      why += fmt::format(", {} request{}", engine->in_flight, engine->in_flight > 1 ? "s" : "");
    texts.push_back(fmt::format("{} {} ({})", key, text_of(demand), why));
  }
  if (more > 0) texts.push_back(fmt::format("{} more", more));
  return fmt::format("{}", fmt::join(texts, ", "));
}

Error Supervisor::no_room(const RoomRequest& mine, const PlannedLoad& load, const MachineMemory& machine) const {
  const auto now = planner_.plan(load.spec, machine, mine.self());
  const PlannedLoad& shown = now ? *now : load;
  const MemoryDemand wanted = shown.memory.total();
  MemoryDemand room = wanted;  // of what it wants
  room.host -= std::min(room.host, shown.missing.host);
  for (const auto& [device, bytes] : shown.missing.devices)
    room.devices[device] -= std::min(room.devices[device], bytes);
  const std::string held = holders();
  std::string text = fmt::format("model \"{}\" needs about {} ({}), and {} ", mine.engine->key, text_of(wanted),
                                 shown.memory.text(), text_of(room));
  if (wanted.devices.empty()) text += fmt::format("of {} ", format_bytes(machine.host.total));
  text += "can be used";
  if (ledger_.limit() > 0) text += fmt::format(" (engines.memory_limit is {})", format_bytes(ledger_.limit()));
  if (!shown.no_gpu.empty()) text += "; " + shown.no_gpu;
  if (!held.empty()) text += "; held by " + held;
  text += mine.spec.vllm ? ". Lower gpu_memory_utilization, name other GPUs, or unload other models"
                         : ". Set a smaller context or fewer parallel slots (models.settings), unload other models, or "
                           "raise engines.memory_limit";
  return {ErrorCode::kInsufficientMemory,
          std::move(text),
          {},
          {{"bytes_needed", static_cast<std::int64_t>(std::min<std::uint64_t>(wanted.total(), INT64_MAX))},
           {"bytes_available", static_cast<std::int64_t>(std::min<std::uint64_t>(room.total(), INT64_MAX))}},
          0};
}

}  // namespace llm::engines
