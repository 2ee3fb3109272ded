// What can be asked of an engine beside requests; sleep and wake.
#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "engines/engine_record.h"
#include "engines/supervisor.h"

namespace llm::engines {
namespace {

Error not_now(const Engine& engine, EngineState state) {
  if (state == EngineState::kStopped || state == EngineState::kFailed) {
    return {ErrorCode::kNotFound, fmt::format("model \"{}\" is not loaded", engine.key), {}, {}, 0};
  }
  return {ErrorCode::kConflict,
          fmt::format("model \"{}\" is {} at the moment; try again", engine.key, to_string(state)),
          {},
          {},
          1};
}

json::object state_of(EngineState state) {
  return {{"state", to_string(state)}};
}

}  // namespace

// Carries a command's outcome back to the loop that asked, and its cancel here. Shared by both.
struct Supervisor::Reply {
  Watch<std::shared_ptr<const Result<json::object>>> outcome;  // shared: results are copied out
  CancelSource cancel;                                         // control loop
};

Task<Result<json::object>> Supervisor::command(std::string key, EngineCommand command, CancelToken cancel) {
  const auto engine = find(key);
  if (!engine) co_return fail(ErrorCode::kNotFound, fmt::format("model \"{}\" is not loaded", key));
  const auto reply = std::make_shared<Reply>();
  control_.post([this, alive = std::weak_ptr(alive_), engine, command = std::move(command), reply] {
    if (alive.expired() || stopping()) {
      reply->outcome.set(
          std::make_shared<const Result<json::object>>(fail(ErrorCode::kUnavailable, "the gateway is shutting down")));
    } else {
      tasks_.spawn(run_command(engine, command, reply));
    }
  });
  const auto registration = cancel.on_cancel([this, alive = std::weak_ptr(alive_), reply] {
    if (!alive.expired()) control_.post([reply] { reply->cancel.cancel(); });
  });
  while (true) {
    const auto [outcome, version] = reply->outcome.get();
    if (outcome) co_return *outcome;
    co_await reply->outcome.changed(version, {}, std::nullopt);
  }
}

Task<void> Supervisor::run_command(std::shared_ptr<Engine> engine, EngineCommand command,
                                   std::shared_ptr<Reply> reply) {
  auto outcome = co_await command_engine(engine, std::move(command), reply->cancel.token());
  reply->outcome.set(std::make_shared<const Result<json::object>>(std::move(outcome)));
}

Task<Result<json::object>> Supervisor::command_engine(std::shared_ptr<Engine> engine, EngineCommand command,
                                                      CancelToken cancel) {
  const auto state = engine->status.get().value.state;
  if (state != EngineState::kReady && state != EngineState::kAsleep) co_return fail(not_now(*engine, state));
  const bool asleep = state == EngineState::kAsleep;
  switch (command.kind) {
    case EngineCommand::Kind::kSleep: {
      if (asleep) co_return state_of(state);
      const auto level = json::int_or(command.arguments, "level", 1);
      if (level != 1 && level != 2) {
        co_return fail(ErrorCode::kInvalidArgument, fmt::format("level is 1 or 2, not {}", level));
      }
      co_return co_await sleep_when_drained(engine, static_cast<int>(level), cancel);
    }
    case EngineCommand::Kind::kWake:
      if (!asleep) co_return state_of(state);
      co_return co_await wake_and_wait(engine, cancel);
    default:
      co_return co_await ask(engine->life, std::move(command), cancel);
  }
}

// One at a time, in turn.
Task<Result<json::object>> Supervisor::ask(std::shared_ptr<EngineLife> life, EngineCommand command,
                                           CancelToken cancel) {
  while (life->commanded && !cancel.cancelled()) {
    const auto version = life->quiet.get().version;
    co_await life->quiet.changed(version, cancel, std::nullopt);
  }
  if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "the command was cancelled");
  if (life->over.cancelled()) co_return fail(ErrorCode::kConflict, "the engine is being stopped");
  const CancelSource either;
  const auto by_caller = cancel.on_cancel([&either] { either.cancel(); });
  const auto by_end = life->over.token().on_cancel([&either] { either.cancel(); });
  life->commanded = true;
  auto outcome = co_await life->driver->command(std::move(command), either.token());
  life->commanded = false;
  life->quiet.update([](int&) {});
  co_return outcome;
}

Task<Result<json::object>> Supervisor::sleep_when_drained(std::shared_ptr<Engine> engine, int level,
                                                          CancelToken cancel) {
  bool can = false;
  {
    const std::lock_guard lock(*guard_);
    can = engine->info && engine->info->can_sleep;
  }
  if (!can) {
    co_return fail(
        ErrorCode::kUnsupported,
        fmt::format("model \"{}\": this engine does not offer to sleep (vLLM does with sleep_mode)", engine->key));
  }
  const auto life = engine->life;
  const auto stay = [&] {
    {
      const std::lock_guard lock(*guard_);
      engine->leasable = true;
      engine->leaving = false;
    }
    engine->status.update([](EngineStatus&) {});
    room_changed();
  };
  while (true) {
    const auto [status, version] = engine->status.get();
    if (status.state != EngineState::kReady || engine->life != life) co_return fail(not_now(*engine, status.state));
    std::size_t in_flight = 0;
    {
      const std::lock_guard lock(*guard_);
      engine->leasable = false;
      engine->leaving = true;
      in_flight = engine->in_flight;
    }
    if (in_flight == 0) break;
    if (cancel.cancelled()) {
      stay();
      co_return fail(ErrorCode::kCancelled, "the command was cancelled");
    }
    co_await engine->status.changed(version, cancel, std::nullopt);
  }
  auto slept = co_await fall_asleep(engine, level, cancel);
  if (!slept && engine->life == life && engine->status.get().value.state == EngineState::kReady) stay();
  if (stopping_.cancelled()) co_await stop_engine(engine);
  if (!slept) co_return slept;
  co_return state_of(EngineState::kAsleep);
}

// Of a ready engine that nobody uses and that is marked as leaving. After an error it is ready again, still so marked,
// or it has ended by itself and is failed.
Task<Result<json::object>> Supervisor::fall_asleep(std::shared_ptr<Engine> engine, int level, CancelToken cancel) {
  const auto life = engine->life;
  set_state(*engine, EngineState::kStopping);
  auto slept = co_await ask(life, {EngineCommand::Kind::kSleep, {{"level", level}}}, cancel);
  if (life->ended || !slept) {
    set_state(*engine, EngineState::kReady);
    if (life->ended) on_crash(engine, life, *std::exchange(life->ended, std::nullopt));
    if (slept) slept = fail(ErrorCode::kEngineFailed, "the engine ended while it fell asleep");
    log_.warn("engine does not sleep", {{"model", engine->key}, {"error", slept.error().message}});
    co_return slept;
  }
  // It keeps what it has of the host (at level 1 the weights go there), and nothing of the GPUs.
  const std::uint64_t host = life->driver->memory_bytes();
  MemoryPlan kept;
  for (const auto& line : life->load.memory.lines) {
    if (!line.device) kept.lines.push_back(line);
  }
  if (host > 0) kept.lines = {{.device = std::nullopt, .kind = MemoryKind::kEngine, .bytes = host}};
  ledger_.reserve(engine->key, kept.total());
  set_memory(*engine, kept, life->load.spec.gpus);
  {
    const std::lock_guard lock(*guard_);
    engine->leaving = false;
    engine->fence.reset();
    engine->measured.devices.clear();
  }
  log_.info("engine asleep", {{"model", engine->key}, {"level", level}, {"host_bytes", host}});
  set_state(*engine, EngineState::kAsleep, [](EngineStatus& status) {
    status.error = {};
    status.progress = {"asleep", 0};
  });
  co_return slept;
}

// An engine that nobody needs now, marked as leaving: to sleep where that is wanted, else it is stopped.
Task<void> Supervisor::retire(std::shared_ptr<Engine> engine, bool may_sleep) {
  int level = 0;
  {
    const std::lock_guard lock(*guard_);
    if (may_sleep && engine->status.get().value.state == EngineState::kReady) level = engine->sleep_level();
  }
  if (level > 0) {
    const auto slept = co_await fall_asleep(engine, level, stopping_.token());
    if (slept && !stopping_.cancelled()) co_return;
  }
  co_await stop_engine(engine);
}

Task<Result<json::object>> Supervisor::wake_and_wait(std::shared_ptr<Engine> engine, CancelToken cancel) {
  begin_wake(engine, true);
  const auto attempt = engine->attempt;
  while (true) {
    const auto [status, version] = engine->status.get();
    if (status.state == EngineState::kReady) co_return state_of(status.state);
    if (status.state != EngineState::kStarting || status.attempt != attempt) {
      if (status.error.message.empty()) co_return fail(not_now(*engine, status.state));
      co_return fail(status.error);
    }
    if (cancel.cancelled()) {
      engine->wanted_alone = false;  // nobody else asked: a wait for memory ends
      room_changed();
      co_return fail(ErrorCode::kCancelled, "the command was cancelled");
    }
    co_await engine->status.changed(version, cancel, std::nullopt);
  }
}

void Supervisor::begin_wake(const std::shared_ptr<Engine>& engine, bool alone) {
  const auto attempt = ++engine->attempt;
  engine->start_cancel = CancelSource();
  engine->wanted_alone = alone;
  {
    const std::lock_guard lock(*guard_);
    engine->arrival = engine->waiters.empty() ? ++arrivals_ : *engine->waiters.begin();
  }
  set_state(*engine, EngineState::kStarting, [&](EngineStatus& status) {
    status.progress = {"waking up", 0};
    status.error = {};
    status.attempt = attempt;
  });
  tasks_.spawn(wake_engine(engine));
}

Task<void> Supervisor::wake_engine(std::shared_ptr<Engine> engine) {
  const auto begin = Clock::now();
  const auto life = engine->life;
  auto room = co_await make_room(engine, life->load.spec);  // on the same GPUs: it cannot move
  if (!room && !engine->start_cancel.cancelled() && !life->ended) {
    // It sleeps on.
    set_state(*engine, EngineState::kAsleep, [&](EngineStatus& status) {
      status.error = room.error();
      status.progress = {"asleep", 0};
    });
    co_return;
  }
  std::optional<Error> error;
  if (!room) {
    error = room.error();
  } else {
    set_state(*engine, EngineState::kStarting, [](EngineStatus& status) { status.progress = {"waking up", 0}; });
    auto woken = co_await ask(life, {EngineCommand::Kind::kWake, {}}, engine->start_cancel.token());
    if (!woken) error = woken.error();
  }
  if (life->ended) error = std::exchange(life->ended, std::nullopt);
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  if (error || engine->start_cancel.cancelled()) {
    co_await end_life(life, engine->key);
    start_failed(*engine, error.value_or(Error{ErrorCode::kCancelled, "the load was given up", {}, {}, 0}), seconds);
    co_return;
  }
  const EngineInfo info = engine->status.get().value.info;
  started(*engine, info, seconds);
}

}  // namespace llm::engines
