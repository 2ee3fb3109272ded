// GPUs, sleep, wake and other commands, engines that outlive the gateway.
#include <gmock/gmock.h>

#include "engines/supervisor.h"
#include "engines/supervisor_under_test.h"

namespace llm::engines {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Acquired = SupervisorUnderTest::Acquired;
using Kind = EngineCommand::Kind;
using Indexes = std::vector<std::uint32_t>;

Gpu gpu(std::uint32_t index, std::uint64_t gib = 24) {
  return {.index = index, .name = "card", .memory_total = gib * kGiB, .measured = true};
}
std::shared_ptr<EngineSpec> sleeper(const std::string& key, double share = 0.6) {
  return vllm_of(key, share, IdleAction::kSleep1);
}
EngineCommand sleep_command(int level = 1) {
  return {Kind::kSleep, {{"level", level}}};
}

struct Commanded {
  std::optional<Result<json::object>> outcome;
};
Task<void> command_into(SupervisorUnderTest& t, std::string key, EngineCommand command, Commanded& into,
                        CancelToken cancel = {}) {
  into.outcome = co_await t.supervisor->command(std::move(key), std::move(command), std::move(cancel));
}

TEST(SupervisorGpus, PlacesEnginesAndTellsTheDriver) {
  SupervisorUnderTest t;
  t.gpus = {gpu(0), gpu(1)};
  auto body = [&]() -> Task<void> {
    const auto a = co_await t.acquire(vllm_of("a"));
    const auto b = co_await t.acquire(vllm_of("b"));
    EXPECT_EQ(t.fake.specs.at(0).gpus, Indexes{0});
    EXPECT_EQ(t.fake.specs.at(1).gpus, Indexes{1});
    const auto c = co_await t.acquire(vllm_of("c", 0.3));
    EXPECT_EQ(t.report("c").gpus, Indexes{0});
    EXPECT_EQ(t.report("c").memory.total().devices.at(0), static_cast<std::uint64_t>(0.3 * 24 * kGiB));
    EXPECT_THAT(t.metrics.render(),
                HasSubstr(R"(llm_mcp_engine_memory_planned_bytes{device="gpu0",kind="engine",model="c"})"));
    auto four = vllm_of("four");
    four->vllm->tensor_parallel_size = 4;
    const auto refused = co_await t.acquire(four);
    EXPECT_EQ(refused.error().code, ErrorCode::kInsufficientMemory);
    EXPECT_THAT(refused.error().message, HasSubstr("4 GPUs wanted"));
    auto absent = vllm_of("absent");
    absent->vllm->gpus = {"7"};
    EXPECT_EQ((co_await t.acquire(absent)).error().code, ErrorCode::kUnavailable);  // the configuration's fault
  };
  t.run(body());
}

TEST(SupervisorGpus, ReplicasShareTheNamedGpus) {
  SupervisorUnderTest t;
  t.gpus = {gpu(0), gpu(1), gpu(2)};
  auto body = [&]() -> Task<void> {
    for (std::uint32_t replica : {0U, 1U}) {
      auto spec = vllm_of(replica == 0 ? "m" : "m#1");
      spec->replica = replica;
      spec->vllm->gpus = {"2", "0"};
      EXPECT_TRUE(co_await t.acquire(spec));
    }
    EXPECT_EQ(t.fake.specs.at(0).gpus, Indexes{2});
    EXPECT_EQ(t.fake.specs.at(1).gpus, Indexes{0});
  };
  t.run(body());
}

TEST(SupervisorGpus, AnIdleEngineGoesFromTheGpuThatIsNeeded) {
  SupervisorUnderTest t;
  t.gpus = {gpu(0), gpu(1)};
  auto body = [&]() -> Task<void> {
    {
      const auto host_only = co_await t.acquire(spec_of("cpu"));  // the longest unused, but in nobody's way
    }
    const auto busy = co_await t.acquire(vllm_of("busy"));
    {
      const auto idle = co_await t.acquire(vllm_of("idle"));
    }
    const auto next = co_await t.acquire(vllm_of("next", 0.9));
    EXPECT_EQ(t.fake.specs.back().gpus, Indexes{1});
    EXPECT_EQ(t.state("idle"), EngineState::kStopped);
    EXPECT_EQ(t.state("cpu"), EngineState::kReady);
  };
  t.run(body());
}

TEST(SupervisorGpus, AnEngineThatRunsAlreadyNeedsNoRoom) {
  SupervisorSettings settings;
  settings.running_on = [](EngineSpec spec) -> Task<std::optional<Indexes>> {
    if (spec.key == "left") co_return Indexes{1};
    co_return std::nullopt;
  };
  SupervisorUnderTest t(std::move(settings));
  t.gpus = {gpu(0), gpu(1)};
  t.gpus[1].memory_used = 22 * kGiB;  // its own
  auto body = [&]() -> Task<void> {
    t.supervisor->start_now(vllm_of("left", 0.9));
    co_await t.until("left", EngineState::kReady);
    EXPECT_EQ(t.fake.specs.at(0).gpus, Indexes{1});
    EXPECT_TRUE(co_await t.acquire(vllm_of("new", 0.9)));
    EXPECT_EQ(t.fake.specs.at(1).gpus, Indexes{0});
  };
  t.run(body());
}

TEST(SupervisorGpus, WhatIsToOutliveTheGatewayIsLetGo) {
  SupervisorUnderTest t;
  t.fake.plan("kept", {{.keeps = true}});
  auto body = [&]() -> Task<void> {
    {
      const auto lease = co_await t.acquire(vllm_of("kept"));
      const auto other = co_await t.acquire(vllm_of("other"));
    }
    EXPECT_TRUE(co_await t.supervisor->unload("kept", false));  // asked for: then it ends
    EXPECT_EQ(t.fake.stops, 1);
    EXPECT_TRUE(co_await t.acquire(vllm_of("kept")));
    co_await t.supervisor->stop();
    EXPECT_EQ(t.fake.stops, 2);
    EXPECT_EQ(t.fake.alive, 0);
    EXPECT_TRUE(t.log.contains("engine left running"));
  };
  t.run(body());
}

TEST(SupervisorSleep, InsteadOfAStopWhenNobodyNeedsIt) {
  SupervisorUnderTest t({.keep_alive = {0}});
  t.gpus = {gpu(0)};
  t.fake.plan("m", {{.memory = 2 * kGiB, .sleeps = true}});
  auto body = [&]() -> Task<void> {
    auto spec = sleeper("m");
    spec->vllm->keep_alive = json::Duration{60'000};
    {
      const auto lease = co_await t.acquire(spec);
    }
    co_await t.pass(59s);
    EXPECT_EQ(t.state("m"), EngineState::kReady);
    co_await t.pass(2s);
    EXPECT_EQ(t.state("m"), EngineState::kAsleep);
    EXPECT_EQ(t.report("m").memory.total(), MemoryDemand{.host = 2 * kGiB});
    std::vector<LoadProgress> told;
    auto note = [&](LoadProgress progress) -> Task<Result<void>> {
      told.push_back(progress);
      co_return Result<void>();
    };
    t.fake.hold_command("m");
    TaskGroup group(t.loop.executor());
    Acquired woken;
    t.acquire_later(group, spec, woken, {.progress = note});
    while (t.fake.commands.size() < 2) co_await t.settle();
    co_await t.settle();
    t.fake.release_command("m");
    co_await group.join();
    EXPECT_TRUE(*woken);
    woken = Acquired(fail(ErrorCode::kInternal, ""));
    EXPECT_THAT(told, ElementsAre(LoadProgress{"waking up", 0}));
    EXPECT_THAT(t.fake.commands, ElementsAre("m sleep 1", "m wake"));
    EXPECT_EQ(t.fake.starts, 1);
    EXPECT_EQ(t.report("m").memory.total().devices.size(), 1U);
    co_await t.pass(61s);
    EXPECT_EQ(t.state("m"), EngineState::kAsleep);
    EXPECT_TRUE(co_await t.supervisor->unload("m", false));
    EXPECT_EQ(t.state("m"), EngineState::kStopped);
    EXPECT_EQ(t.fake.stops, 1);
  };
  t.run(body());
}

TEST(SupervisorSleep, AnEngineThatCannotIsStopped) {
  SupervisorUnderTest t;
  t.fake.plan("fails", {{.sleeps = true, .answer = fail(ErrorCode::kEngineFailed, "no")}});
  auto body = [&]() -> Task<void> {
    for (const std::string key : {"never", "fails"}) {
      auto spec = sleeper(key);
      spec->vllm->keep_alive = json::Duration{0};
      const auto lease = co_await t.acquire(spec);
    }
    co_await t.pass(1s);
    EXPECT_EQ(t.state("never"), EngineState::kStopped);
    EXPECT_EQ(t.state("fails"), EngineState::kStopped);
    EXPECT_THAT(t.fake.commands, ElementsAre("fails sleep 1"));
  };
  t.run(body());
}

TEST(SupervisorSleep, MakesRoomOnAGpuAndWakesWhenItsTurnComes) {
  SupervisorUnderTest t;
  t.gpus = {gpu(0)};
  for (const auto* key : {"a", "b"}) t.fake.plan(key, {{.sleeps = true}});
  auto body = [&]() -> Task<void> {
    auto a = co_await t.acquire(sleeper("a"));
    TaskGroup group(t.loop.executor());
    Acquired b;
    t.acquire_later(group, sleeper("b"), b);
    co_await t.until("b", EngineState::kStarting);
    co_await t.settle();
    EXPECT_FALSE(b);  // "a" is busy
    a = fail(ErrorCode::kInternal, "");
    co_await group.join();
    EXPECT_TRUE(*b);
    EXPECT_EQ(t.state("a"), EngineState::kAsleep);
    b = Acquired(fail(ErrorCode::kInternal, ""));
    EXPECT_TRUE(co_await t.acquire(sleeper("a")));
    EXPECT_EQ(t.state("b"), EngineState::kAsleep);
    EXPECT_THAT(t.fake.commands, ElementsAre("a sleep 1", "b sleep 1", "a wake"));
    EXPECT_EQ(t.fake.starts, 2);
    EXPECT_EQ(t.fake.stops, 0);
  };
  t.run(body());
}

TEST(SupervisorSleep, ASleepingEngineThatFindsNoRoomSleepsOn) {
  SupervisorUnderTest t;
  t.gpus = {gpu(0)};
  t.fake.plan("a", {{.sleeps = true}});
  auto body = [&]() -> Task<void> {
    {
      const auto lease = co_await t.acquire(sleeper("a"));
    }
    EXPECT_TRUE(co_await t.supervisor->command("a", sleep_command(), {}));
    auto firm = vllm_of("firm");
    firm->vllm->pinned = true;
    EXPECT_TRUE(co_await t.acquire(firm));
    const auto refused = co_await t.acquire(sleeper("a"));
    EXPECT_EQ(refused.error().code, ErrorCode::kInsufficientMemory);
    EXPECT_THAT(refused.error().message, HasSubstr("firm"));
    EXPECT_EQ(t.state("a"), EngineState::kAsleep);
    EXPECT_TRUE(co_await t.supervisor->unload("firm", false));
    EXPECT_TRUE(co_await t.acquire(sleeper("a")));
  };
  t.run(body());
}

TEST(SupervisorSleep, AsACommandItWaitsForRequests) {
  SupervisorUnderTest t;
  t.fake.plan("m", {{.sleeps = true}});
  auto body = [&]() -> Task<void> {
    auto lease = co_await t.acquire(vllm_of("m"));
    TaskGroup group(t.loop.executor());
    Commanded slept, given_up;
    CancelSource cancel;
    group.spawn(command_into(t, "m", sleep_command(2), given_up, cancel.token()));
    co_await t.settle();
    Acquired waiting;
    t.acquire_later(group, vllm_of("m"), waiting);
    co_await t.settle();
    EXPECT_FALSE(waiting);
    cancel.cancel();
    while (!waiting) co_await t.settle();  // it is as before
    EXPECT_EQ(given_up.outcome->error().code, ErrorCode::kCancelled);
    waiting = Acquired(fail(ErrorCode::kInternal, ""));
    group.spawn(command_into(t, "m", sleep_command(2), slept));
    co_await t.settle();
    EXPECT_FALSE(slept.outcome);
    lease = fail(ErrorCode::kInternal, "");
    co_await group.join();
    EXPECT_EQ(json::string_or(**slept.outcome, "state"), "asleep");
    EXPECT_THAT(t.fake.commands, ElementsAre("m sleep 2"));
    const auto woken = co_await t.supervisor->command("m", {Kind::kWake, {}}, {});
    EXPECT_EQ(json::string_or(*woken, "state"), "ready");
    EXPECT_EQ(t.state("m"), EngineState::kReady);
    EXPECT_TRUE(co_await t.supervisor->command("m", {Kind::kWake, {}}, {}));  // it is awake
    EXPECT_EQ(t.fake.commands.size(), 2U);
  };
  t.run(body());
}

TEST(SupervisorCommand, SaysWhyNot) {
  SupervisorUnderTest t;
  t.fake.plan("slow", {{.hold = true}});
  auto body = [&]() -> Task<void> {
    const auto code = [&](std::string key, EngineCommand command) -> Task<ErrorCode> {
      const auto outcome = co_await t.supervisor->command(std::move(key), std::move(command), {});
      co_return outcome ? ErrorCode::kInternal : outcome.error().code;
    };
    EXPECT_EQ(co_await code("m", {}), ErrorCode::kNotFound);
    t.supervisor->start_now(spec_of("slow"));
    co_await t.until("slow", EngineState::kStarting);
    EXPECT_EQ(co_await code("slow", {}), ErrorCode::kConflict);
    EXPECT_TRUE(co_await t.acquire(spec_of("m")));
    EXPECT_EQ(co_await code("m", sleep_command()), ErrorCode::kUnsupported);
    EXPECT_TRUE(co_await t.supervisor->unload("m", false));
    EXPECT_EQ(co_await code("m", {}), ErrorCode::kNotFound);
    t.fake.release("slow");
    co_await t.until("slow", EngineState::kReady);
    EXPECT_TRUE(co_await t.supervisor->command("slow", {Kind::kServerInfo, {}}, {}));
  };
  t.run(body());
}

TEST(SupervisorCommand, OneAtATimeAndNoneOutlivesItsEngine) {
  SupervisorUnderTest t({.restart_backoff = 60s});
  t.fake.plan("m", {{.hold_command = true}});
  auto body = [&]() -> Task<void> {
    EXPECT_TRUE(co_await t.acquire(vllm_of("m")));
    TaskGroup group(t.loop.executor());
    Commanded first, second, third;
    group.spawn(command_into(t, "m", {Kind::kMetrics, {}}, first));
    group.spawn(command_into(t, "m", {Kind::kListAdapters, {}}, second));
    co_await t.settle();
    EXPECT_EQ(t.fake.commands.size(), 1U);
    t.fake.release_command("m");
    co_await group.join();
    EXPECT_TRUE(*first.outcome);
    EXPECT_TRUE(*second.outcome);
    EXPECT_TRUE(co_await t.supervisor->unload("m", false));
    // A stop ends the one under way first; so does a crash.
    for (const bool crash : {false, true}) {
      EXPECT_TRUE(co_await t.acquire(vllm_of("m")));
      Commanded held;
      group.spawn(command_into(t, "m", {Kind::kMetrics, {}}, held));
      co_await t.settle();
      if (crash) {
        t.fake.crash("m");
      } else {
        EXPECT_TRUE(co_await t.supervisor->unload("m", false));
      }
      co_await group.join();
      EXPECT_EQ(held.outcome->error().code, ErrorCode::kCancelled);
    }
    co_await t.settle();
    EXPECT_EQ(t.fake.alive, 0);
  };
  t.run(body());
}

TEST(SupervisorSleep, ACrashDuringItIsACrash) {
  SupervisorUnderTest t({.restart_backoff = 60s});
  for (const auto* key : {"asleep", "falling", "waking"}) t.fake.plan(key, {{.sleeps = true}, {.sleeps = true}});
  t.fake.plan("falling", {{.sleeps = true, .hold_command = true}});
  auto body = [&]() -> Task<void> {
    TaskGroup group(t.loop.executor());
    EXPECT_TRUE(co_await t.acquire(vllm_of("asleep")));
    EXPECT_TRUE(co_await t.supervisor->command("asleep", sleep_command(), {}));
    t.fake.crash("asleep");
    EXPECT_EQ(t.state("asleep"), EngineState::kFailed);
    EXPECT_TRUE(t.log.contains("\"restart_in_ms\":-1"));  // nobody needs it now

    EXPECT_TRUE(co_await t.acquire(vllm_of("falling")));
    Commanded slept;
    group.spawn(command_into(t, "falling", sleep_command(), slept));
    co_await t.settle();
    t.fake.crash("falling");
    EXPECT_EQ(t.state("falling"), EngineState::kStopping);
    t.fake.release_command("falling");
    co_await group.join();
    EXPECT_EQ(slept.outcome->error().code, ErrorCode::kEngineFailed);
    EXPECT_EQ(t.state("falling"), EngineState::kFailed);
    co_await t.settle();
    EXPECT_EQ(t.fake.alive, 0);
    EXPECT_TRUE(co_await t.acquire(vllm_of("asleep"), {.retry_now = true}));
  };
  t.run(body());
}

TEST(SupervisorSleep, AnEngineThatDoesNotWakeIsStoppedAndLoadedAnew) {
  SupervisorUnderTest t;
  t.fake.plan("m", {{.sleeps = true}, {}});
  auto body = [&]() -> Task<void> {
    EXPECT_TRUE(co_await t.acquire(vllm_of("m")));
    EXPECT_TRUE(co_await t.supervisor->command("m", sleep_command(), {}));
    t.fake.answer("m", fail(ErrorCode::kEngineFailed, "it does not wake"));
    const auto refused = co_await t.acquire(vllm_of("m"));
    EXPECT_THAT(refused.error().message, HasSubstr("does not wake"));
    EXPECT_EQ(t.state("m"), EngineState::kFailed);
    EXPECT_EQ(t.fake.stops, 1);
    EXPECT_TRUE(co_await t.acquire(vllm_of("m"), {.retry_now = true}));
    EXPECT_EQ(t.fake.starts, 2);
  };
  t.run(body());
}

TEST(SupervisorSleep, StoppingWhileItSleepsFallsAsleepAndWakes) {
  for (const std::string when : {"asleep", "falling", "waking"}) {
    SupervisorUnderTest t;
    t.fake.plan("m", {{.sleeps = true, .hold_command = when != "asleep"}});
    auto body = [&]() -> Task<void> {
      TaskGroup group(t.loop.executor());
      EXPECT_TRUE(co_await t.acquire(vllm_of("m")));
      Commanded slept;
      Acquired woken;
      group.spawn(command_into(t, "m", sleep_command(), slept));
      co_await t.settle();
      if (when == "waking") {
        t.fake.release_command("m");
        co_await t.until("m", EngineState::kAsleep);
        t.fake.hold_command("m");
        t.acquire_later(group, vllm_of("m"), woken);
        co_await t.until("m", EngineState::kStarting);
        co_await t.settle();
      }
      co_await t.supervisor->stop();
      co_await group.join();
      EXPECT_EQ(t.fake.stops, 1) << when;
      EXPECT_EQ(t.fake.alive, 0) << when;
      EXPECT_EQ(t.state("m"), EngineState::kStopped) << when;
    };
    t.run(body());
  }
}

}  // namespace
}  // namespace llm::engines
