// Memory that others hold: residency, priorities, pinned engines, turns, engines outside our control.
#include <gmock/gmock.h>

#include "engines/supervisor.h"
#include "engines/supervisor_under_test.h"

namespace llm::engines {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Le;

using Acquired = SupervisorUnderTest::Acquired;

// Room for one engine of spec_of() (about 2 GiB) and not for two.
SupervisorSettings room_for_one(json::Duration residency = {0}) {
  return {.memory_limit = 3 * kGiB, .restart_backoff = 1ms, .min_residency = residency};
}
std::shared_ptr<EngineSpec> ranked(const std::string& key, std::int32_t priority, std::uint64_t gib = 1) {
  auto spec = spec_of(key, gib);
  spec->settings.priority = priority;
  return spec;
}
std::shared_ptr<EngineSpec> pinned(const std::string& key) {
  auto spec = spec_of(key);
  spec->settings.pinned = true;
  return spec;
}
void give_back(Acquired& lease) {
  lease = Acquired(fail(ErrorCode::kInternal, "given back"));
}

// One request after the other comes in, for two models in turn that do not fit together.
struct Alternating {
  explicit Alternating(SupervisorUnderTest& test) : t(test) {}
  Task<void> request(std::string key, std::size_t number) {
    const auto came = t.clock_ns.load();
    auto lease = co_await t.acquire(spec_of(key));
    EXPECT_TRUE(lease) << (lease ? "" : lease.error().message);
    longest_wait = std::max(longest_wait, t.clock_ns.load() - came);
    served.push_back(number);
  }
  SupervisorUnderTest& t;
  std::vector<std::size_t> served;
  std::int64_t longest_wait = 0;
};

TEST(SupervisorResidency, AlternatingRequestsAreServedInBatches) {
  constexpr int kSeconds = 100;
  SupervisorUnderTest t(room_for_one({10'000}));
  auto body = [&]() -> Task<void> {
    Alternating clients(t);
    TaskGroup group(t.loop.executor());
    for (std::size_t i = 0; i < kSeconds; ++i) {
      group.spawn(clients.request(i % 2 == 0 ? "a" : "b", i));
      co_await t.settle();
      co_await t.pass(1s);
    }
    for (int i = 0; i < 30 && clients.served.size() < kSeconds; ++i) co_await t.pass(1s);
    co_await group.join();
    EXPECT_EQ(clients.served.size(), kSeconds);
    // Each model has its ten seconds, and no more while the other waits: 10 or 11 of them in 100 s, not 100.
    EXPECT_GE(t.fake.starts, 9);
    EXPECT_LE(t.fake.starts, 12);
    EXPECT_LE(clients.longest_wait, std::chrono::nanoseconds(12s).count());
  };
  t.run(body());
}

TEST(SupervisorResidency, WithoutResidencyEverybodyStillHasATurn) {
  SupervisorUnderTest t(room_for_one());
  t.fake.plan("b", {{.hold = true}, {}});
  auto body = [&]() -> Task<void> {
    TaskGroup group(t.loop.executor());
    Acquired a1, b1, a2, b2, b3;
    t.acquire_later(group, spec_of("a"), a1);
    while (!a1) co_await t.settle();
    t.acquire_later(group, spec_of("b"), b1);
    co_await t.settle();
    t.acquire_later(group, spec_of("b"), b2);
    co_await t.settle();
    t.acquire_later(group, spec_of("a"), a2);  // came later than b1: no lease on the running engine any more
    co_await t.settle();
    t.acquire_later(group, spec_of("b"), b3);
    co_await t.settle();
    EXPECT_FALSE(b1 || b2 || a2 || b3);
    give_back(a1);
    while (!t.fake.running("b")) co_await t.settle();
    co_await t.settle();
    t.fake.release("b");
    while (!b1 || !b2) co_await t.settle();
    co_await t.settle();
    EXPECT_FALSE(a2);
    EXPECT_FALSE(b3);  // it came after a2, which waits for the memory
    give_back(b1);
    co_await t.settle();
    EXPECT_FALSE(a2);
    give_back(b2);
    while (!a2) co_await t.settle();
    co_await t.settle();
    EXPECT_FALSE(b3);
    give_back(a2);
    while (!b3) co_await t.settle();
    co_await group.join();
    EXPECT_EQ(t.fake.starts, 4);
    give_back(b3);
  };
  t.run(body());
}

TEST(SupervisorResidency, ProtectsAYoungEngineAlsoWhenItIsIdle) {
  SupervisorUnderTest t(room_for_one({60'000}));
  auto body = [&]() -> Task<void> {
    auto young = spec_of("a");
    young->settings.min_residency = json::Duration{10'000};  // its own
    {
      const auto lease = co_await t.acquire(young);
    }
    std::vector<LoadProgress> told;
    auto note = [&](LoadProgress progress) -> Task<Result<void>> {
      told.push_back(progress);
      co_return Result<void>();
    };
    TaskGroup group(t.loop.executor());
    Acquired b;
    t.acquire_later(group, spec_of("b"), b, {.progress = note});
    co_await t.pass(9s);
    EXPECT_FALSE(b);
    EXPECT_EQ(t.state("a"), EngineState::kReady);
    EXPECT_EQ(told, (std::vector<LoadProgress>{{"waiting for memory", 0}}));
    {
      const auto lease = co_await t.acquire(spec_of("a"));  // nothing is closed yet
      EXPECT_TRUE(lease);
    }
    co_await t.pass(2s);
    while (!b) co_await t.settle();
    EXPECT_TRUE(*b);
    EXPECT_EQ(t.state("a"), EngineState::kStopped);
    co_await group.join();
    give_back(b);
  };
  t.run(body());
}

TEST(SupervisorResidency, AnIdleEngineIsTakenRatherThanWaitedFor) {
  SupervisorUnderTest t({.memory_limit = 5 * kGiB});
  auto body = [&]() -> Task<void> {
    const auto busy = co_await t.acquire(ranked("busy", -5));
    {
      const auto lease = co_await t.acquire(ranked("idle", 5));
    }
    EXPECT_TRUE(co_await t.acquire(spec_of("next")));
    EXPECT_EQ(t.state("idle"), EngineState::kStopped);
    EXPECT_EQ(t.state("busy"), EngineState::kReady);
  };
  t.run(body());
}

TEST(SupervisorResidency, TheLowestPriorityGoesFirstAndNoMoreThanNeeded) {
  SupervisorUnderTest t({.memory_limit = 12 * kGiB});
  auto body = [&]() -> Task<void> {
    for (const auto& spec : {ranked("high", 9), ranked("big", 0, 3), ranked("low", -1), ranked("old", 0)}) {
      const auto lease = co_await t.acquire(spec);
    }  // 2, 4, 2 and 2 GiB
    EXPECT_TRUE(co_await t.acquire(spec_of("m", 1)));  // 2 GiB: one is enough
    EXPECT_EQ(t.state("low"), EngineState::kStopped);
    EXPECT_TRUE(co_await t.acquire(spec_of("n", 3)));  // 4 GiB: "old" and "m" would do, but "big" was longer unused
    EXPECT_EQ(t.state("big"), EngineState::kStopped);
    EXPECT_EQ(t.state("old"), EngineState::kReady);
    EXPECT_EQ(t.state("high"), EngineState::kReady);
  };
  t.run(body());
}

TEST(SupervisorResidency, APinnedEngineNeverGoesAndTheErrorSaysWhoHoldsWhat) {
  SupervisorUnderTest t(room_for_one());
  auto body = [&]() -> Task<void> {
    {
      const auto lease = co_await t.acquire(pinned("a"));
    }
    const auto refused = co_await t.acquire(spec_of("b"));
    EXPECT_EQ(refused.error().code, ErrorCode::kInsufficientMemory);
    EXPECT_THAT(refused.error().message, AllOf(HasSubstr("weights 1.0 GiB, kv_cache 1.0 GiB, compute"),
                                               HasSubstr("held by a 2.0 GiB (ready, pinned)")));
    EXPECT_EQ(t.state("a"), EngineState::kReady);
    EXPECT_TRUE(t.report("a").pinned);
  };
  t.run(body());
}

TEST(SupervisorResidency, ACancelledWaiterVanishes) {
  SupervisorUnderTest t(room_for_one());
  auto body = [&]() -> Task<void> {
    auto a = co_await t.acquire(spec_of("a"));
    TaskGroup group(t.loop.executor());
    CancelSource cancel;
    Acquired b, second;
    t.acquire_later(group, spec_of("b"), b, {}, cancel.token());
    co_await t.until("b", EngineState::kStarting);
    t.acquire_later(group, spec_of("a"), second);
    co_await t.settle();
    EXPECT_FALSE(second);
    EXPECT_EQ(t.report("b").waiting, 1U);
    cancel.cancel();
    co_await group.join();
    EXPECT_EQ(b->error().code, ErrorCode::kCancelled);
    EXPECT_TRUE(*second);  // nobody needs the memory any more
    co_await t.until("b", EngineState::kStopped);
    EXPECT_EQ(t.fake.starts, 1);
    give_back(second);
    a = fail(ErrorCode::kInternal, "");
    EXPECT_TRUE(co_await t.acquire(spec_of("b")));  // no trace of the load that was given up
  };
  t.run(body());
}

TEST(SupervisorResidency, WhoCameFirstIsNotOvertaken) {
  SupervisorUnderTest t({.memory_limit = 7 * kGiB});
  auto body = [&]() -> Task<void> {
    auto busy = co_await t.acquire(spec_of("busy"));      // 2 GiB
    auto steady = co_await t.acquire(spec_of("steady"));  // 2 GiB
    TaskGroup group(t.loop.executor());
    Acquired big, small, tiny;
    t.acquire_later(group, spec_of("big", 4), big);  // 5 GiB: one of them has to go... and all that is free
    co_await t.until("big", EngineState::kStarting);
    co_await t.settle();
    t.acquire_later(group, spec_of("small"), small);  // would fit into what is free
    co_await t.settle();
    EXPECT_FALSE(big);
    EXPECT_FALSE(small);
    steady = fail(ErrorCode::kInternal, "");
    busy = fail(ErrorCode::kInternal, "");
    while (!big) co_await t.settle();
    EXPECT_TRUE(*big);
    co_await t.settle();
    EXPECT_EQ(t.fake.specs.at(2).key, "big");
    give_back(big);
    while (!small) co_await t.settle();
    EXPECT_TRUE(*small);
    co_await group.join();
    give_back(small);
  };
  t.run(body());
}

TEST(SupervisorResidency, WhatFitsBesideThoseWhoWaitDoesNotWait) {
  SupervisorUnderTest t({.memory_limit = 10 * kGiB});
  auto body = [&]() -> Task<void> {
    auto busy = co_await t.acquire(spec_of("busy", 5));  // 6 GiB
    TaskGroup group(t.loop.executor());
    Acquired big, small;
    t.acquire_later(group, spec_of("big", 5), big);  // 6 GiB: for it "busy" goes
    co_await t.until("big", EngineState::kStarting);
    co_await t.settle();
    t.acquire_later(group, spec_of("small"), small);  // 2 GiB: there is room for it and "big"
    while (!small) co_await t.settle();
    EXPECT_FALSE(big);
    busy = fail(ErrorCode::kInternal, "");
    co_await group.join();
    EXPECT_TRUE(*big);
    EXPECT_EQ(t.state("small"), EngineState::kReady);
    give_back(big);
    give_back(small);
  };
  t.run(body());
}

TEST(SupervisorResidency, AnUnloadEndsTheWaitForMemory) {
  SupervisorUnderTest t(room_for_one());
  auto body = [&]() -> Task<void> {
    const auto a = co_await t.acquire(spec_of("a"));
    TaskGroup group(t.loop.executor());
    Acquired b, again;
    t.acquire_later(group, spec_of("b"), b);
    co_await t.until("b", EngineState::kStarting);
    EXPECT_TRUE(co_await t.supervisor->unload("b", false));
    co_await group.join();
    EXPECT_THAT(b->error().message, HasSubstr("was unloaded while it was loading"));
    EXPECT_TRUE(co_await t.acquire(spec_of("a")));
  };
  t.run(body());
}

TEST(SupervisorResidency, StoppingEndsTheWaitForMemory) {
  SupervisorUnderTest t(room_for_one());
  auto body = [&]() -> Task<void> {
    auto a = co_await t.acquire(spec_of("a"));
    TaskGroup group(t.loop.executor());
    Acquired b;
    t.acquire_later(group, spec_of("b"), b);
    co_await t.until("b", EngineState::kStarting);
    co_await t.supervisor->stop();
    co_await group.join();
    EXPECT_EQ(b->error().code, ErrorCode::kUnavailable);
  };
  t.run(body());
}

TEST(SupervisorResidency, EnginesOutsideOurControlGoBeforeBusyOnes) {
  std::vector<std::uint64_t> asked;
  SupervisorUnderTest* test = nullptr;
  SupervisorSettings settings{.restart_backoff = 1ms};
  settings.evict_others = [&](std::uint64_t missing) -> Task<std::uint64_t> {
    asked.push_back(missing);
    if (asked.size() == 1) test->memory.available += 4 * kGiB;
    co_return asked.size() == 1 ? 4 * kGiB : 0;
  };
  SupervisorUnderTest t(std::move(settings));
  test = &t;
  t.memory = {16 * kGiB, 3 * kGiB};
  t.fake.plan("a", {{.memory = 2 * kGiB}});
  auto body = [&]() -> Task<void> {
    const auto a = co_await t.acquire(spec_of("a"));
    t.memory.available = kGiB;
    EXPECT_TRUE(co_await t.acquire(spec_of("b")));
    EXPECT_THAT(asked, ElementsAre(Le(2 * kGiB)));
    EXPECT_EQ(t.state("a"), EngineState::kReady);
    t.memory.available = kGiB;
    const auto refused = co_await t.acquire(spec_of("c", 30));
    EXPECT_EQ(refused.error().code, ErrorCode::kInsufficientMemory);
    EXPECT_EQ(asked.size(), 2U);  // once for each load
  };
  t.run(body());
}

TEST(SupervisorResidency, AnEngineThatIsWantedWithoutRequestsKeepsItsPlaceInTheQueue) {
  SupervisorUnderTest t(room_for_one());
  auto body = [&]() -> Task<void> {
    auto a = co_await t.acquire(spec_of("a"));
    t.supervisor->start_now(spec_of("b"));
    co_await t.until("b", EngineState::kStarting);
    co_await t.pass(1s);
    EXPECT_EQ(t.state("b"), EngineState::kStarting);
    a = fail(ErrorCode::kInternal, "");
    co_await t.until("b", EngineState::kReady);
    t.supervisor->start_now(spec_of("b"));
    co_await t.settle();
    EXPECT_EQ(t.fake.starts, 2);
  };
  t.run(body());
}

TEST(SupervisorResidency, ReplicasAreEnginesOfTheirOwn) {
  SupervisorUnderTest t;
  auto body = [&]() -> Task<void> {
    auto second = spec_of("m#1");
    second->model = "m";
    second->replica = 1;
    const auto first = co_await t.acquire(spec_of("m"));
    const auto other = co_await t.acquire(second);
    EXPECT_EQ(t.report("m").replica, 0U);
    EXPECT_EQ(t.report("m#1").replica, 1U);
    EXPECT_EQ(t.report("m#1").model, "m");
    EXPECT_TRUE(co_await t.supervisor->unload("m#1", true));
    EXPECT_EQ(t.state("m"), EngineState::kReady);
  };
  t.run(body());
}

TEST(SupervisorResidency, AMeasurementCorrectsTheNextLoad) {
  SupervisorUnderTest t({.memory_limit = 16 * kGiB});
  t.fake.plan("m", {{.memory = 4 * kGiB}});
  auto body = [&]() -> Task<void> {
    {
      const auto lease = co_await t.acquire(spec_of("m"));
    }
    const auto estimated = t.report("m").memory_estimate;
    EXPECT_LT(estimated, 3 * kGiB);
    EXPECT_EQ(t.report("m").measured.host, 4 * kGiB);
    EXPECT_TRUE(co_await t.supervisor->unload("m", false));
    EXPECT_EQ(t.report("m").memory_estimate, 0U);
    const auto lease = co_await t.acquire(spec_of("m"));
    EXPECT_NEAR(static_cast<double>(t.report("m").memory_estimate), 4.0 * kGiB, 1.0 * (1 << 20));
    EXPECT_EQ(t.report("m").memory.lines.at(0).kind, MemoryKind::kWeights);
  };
  t.run(body());
}

}  // namespace
}  // namespace llm::engines
