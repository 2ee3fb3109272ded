// Loading: one load for all, progress, failures, back-off, giving up, time-outs.
#include "engines/supervisor.h"

#include <gmock/gmock.h>

#include "engines/supervisor_under_test.h"

namespace llm::engines {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;

const Error kBroken{ErrorCode::kEngineFailed, "the model file is damaged", {}, {}, 0};

TEST(Supervisor, LoadsOnceForAllWhoAsk) {
  SupervisorUnderTest t;
  t.fake.plan("m", {{.hold = true}});
  auto body = [&]() -> Task<void> {
    std::vector<SupervisorUnderTest::Acquired> leases(5);
    TaskGroup group(t.loop.executor());
    for (auto& lease : leases) t.acquire_later(group, spec_of("m"), lease);
    co_await t.until("m", EngineState::kStarting);
    co_await t.settle();
    t.fake.release("m");
    co_await group.join();
    for (auto& lease : leases) EXPECT_TRUE(lease && *lease);
    EXPECT_EQ(t.fake.starts, 1);
    EXPECT_EQ(t.report("m").in_flight, 5U);
    leases.clear();
    EXPECT_EQ(t.report("m").in_flight, 0U);
  };
  t.run(body());
}

TEST(Supervisor, LoadsOnceForCallersOfOtherLoops) {
  SupervisorUnderTest t;
  t.fake.plan("m", {{.hold = true}});
  Loop other("other");
  std::atomic<int> leased = 0;
  auto ask = [&]() -> Task<void> {
    const auto lease = co_await t.supervisor->acquire(spec_of("m"), {}, {});
    leased += lease.has_value();
  };
  auto body = [&]() -> Task<void> {
    TaskGroup callers(other.executor());
    for (int i = 0; i < 8; ++i) callers.spawn(ask());
    other.start();
    co_await t.until("m", EngineState::kStarting);
    SupervisorUnderTest::Acquired mine;
    TaskGroup group(t.loop.executor());
    t.acquire_later(group, spec_of("m"), mine);
    co_await t.settle();
    t.fake.release("m");
    co_await group.join();
    while (leased < 8) co_await sleep_for(1ms);
    EXPECT_EQ(t.fake.starts, 1);
  };
  t.run(body());
}

TEST(Supervisor, ProgressReachesWhoeverWaits) {
  SupervisorUnderTest t;
  t.fake.plan("m", {{.hold = true}});
  auto body = [&]() -> Task<void> {
    std::vector<LoadProgress> first, second;
    auto note = [](std::vector<LoadProgress>& into) {
      return [&into](LoadProgress progress) -> Task<Result<void>> {
        into.push_back(progress);
        co_return Result<void>();
      };
    };
    SupervisorUnderTest::Acquired a, b;
    TaskGroup group(t.loop.executor());
    t.acquire_later(group, spec_of("m"), a, {.progress = note(first)});
    co_await t.until("m", EngineState::kStarting);
    co_await t.settle();
    t.fake.progress("m", {"loading weights", 0.4});
    co_await t.settle();
    t.acquire_later(group, spec_of("m"), b, {.progress = note(second)});
    co_await t.settle();
    t.fake.progress("m", {"warming up", 0.9});
    co_await t.settle();
    t.fake.release("m");
    co_await group.join();
    EXPECT_EQ(first, (std::vector<LoadProgress>{{"starting", 0}, {"loading weights", 0.4}, {"warming up", 0.9}}));
    EXPECT_EQ(second, (std::vector<LoadProgress>{{"loading weights", 0.4}, {"warming up", 0.9}}));
    EXPECT_EQ(t.report("m").status.progress, (LoadProgress{"ready", 1}));
  };
  t.run(body());
}

TEST(Supervisor, WhatTheDriverSaysTooLateChangesNothing) {
  SupervisorUnderTest t;
  auto body = [&]() -> Task<void> {
    {
      const auto lease = co_await t.acquire(spec_of("m"));
    }
    t.fake.late_progress("m");
    EXPECT_EQ(t.state("m"), EngineState::kReady);
    EXPECT_TRUE(co_await t.supervisor->unload("m", false));
    t.fake.late_progress("m");
    t.fake.late_exit("m");
    co_await t.settle();
    EXPECT_EQ(t.state("m"), EngineState::kStopped);
    EXPECT_EQ(t.fake.starts, 1);
  };
  t.run(body());
}

TEST(Supervisor, AFailingProgressEndsTheWaitNotTheLoad) {
  SupervisorUnderTest t;
  t.fake.plan("m", {{.hold = true}});
  auto body = [&]() -> Task<void> {
    auto refuse = [](LoadProgress) -> Task<Result<void>> { co_return fail(ErrorCode::kCancelled, "gone"); };
    const auto lease = co_await t.acquire(spec_of("m"), {.progress = refuse});
    EXPECT_EQ(lease.error().message, "gone");
    EXPECT_EQ(t.state("m"), EngineState::kStarting);
  };
  t.run(body());
}

TEST(Supervisor, AFailedLoadIsToldToAllWaiters) {
  SupervisorUnderTest t;
  t.fake.plan("m", {{.hold = true}});
  auto body = [&]() -> Task<void> {
    SupervisorUnderTest::Acquired a, b;
    TaskGroup group(t.loop.executor());
    t.acquire_later(group, spec_of("m"), a);
    t.acquire_later(group, spec_of("m"), b);
    co_await t.until("m", EngineState::kStarting);
    co_await t.settle();
    t.fake.release("m", fail(kBroken));
    co_await group.join();
    EXPECT_EQ(a->error().message, kBroken.message);
    EXPECT_EQ(b->error().message, kBroken.message);
    EXPECT_EQ(t.fake.starts, 1);
    EXPECT_EQ(t.fake.alive, 0);
  };
  t.run(body());
}

TEST(Supervisor, BacksOffAfterAFailedLoad) {
  SupervisorUnderTest t({.restart_backoff = 60s});
  t.fake.plan("m", {{.outcome = fail(kBroken)}});
  auto body = [&]() -> Task<void> {
    const auto first = co_await t.acquire(spec_of("m"));
    EXPECT_EQ(first.error().code, ErrorCode::kEngineFailed);
    const auto second = co_await t.acquire(spec_of("m"));
    EXPECT_EQ(second.error().message, kBroken.message);
    EXPECT_THAT(second.error().retry_after_s, AllOf(Ge(1), Le(60)));
    EXPECT_EQ(t.fake.starts, 1);
  };
  t.run(body());
}

TEST(Supervisor, AnExplicitLoadTriesAgainAtOnce) {
  SupervisorUnderTest t({.restart_backoff = 60s});
  t.fake.plan("m", {{.outcome = fail(kBroken)}, {.outcome = fail(kBroken)}, {}});
  auto body = [&]() -> Task<void> {
    EXPECT_FALSE(co_await t.acquire(spec_of("m")));
    const auto again = co_await t.acquire(spec_of("m"), {.retry_now = true});
    EXPECT_EQ(again.error().message, kBroken.message);
    EXPECT_EQ(t.fake.starts, 2);  // one attempt for one request, also when it fails faster than anybody looks
    EXPECT_TRUE(co_await t.acquire(spec_of("m"), {.retry_now = true}));
    EXPECT_EQ(t.fake.starts, 3);
  };
  t.run(body());
}

TEST(Supervisor, AFailedLoadIsTriedAgainAfterTheBackOff) {
  SupervisorUnderTest t;
  t.fake.plan("m", {{.outcome = fail(kBroken)}, {}});
  auto body = [&]() -> Task<void> {
    EXPECT_FALSE(co_await t.acquire(spec_of("m")));
    while (t.report("m").status.retry_at > std::chrono::steady_clock::now()) co_await sleep_for(1ms);
    EXPECT_TRUE(co_await t.acquire(spec_of("m")));
  };
  t.run(body());
}

TEST(Supervisor, CancellingOneWaiterLeavesTheLoadToTheOthers) {
  SupervisorUnderTest t;
  t.fake.plan("m", {{.hold = true}});
  auto body = [&]() -> Task<void> {
    CancelSource cancel;
    SupervisorUnderTest::Acquired a, b;
    TaskGroup group(t.loop.executor());
    t.acquire_later(group, spec_of("m"), a, {}, cancel.token());
    t.acquire_later(group, spec_of("m"), b);
    co_await t.until("m", EngineState::kStarting);
    cancel.cancel();
    while (!a) co_await t.settle();
    EXPECT_EQ(a->error().code, ErrorCode::kCancelled);
    t.fake.release("m");
    co_await group.join();
    EXPECT_TRUE(*b);
    EXPECT_EQ(t.fake.cancelled_starts, 0);
  };
  t.run(body());
}

TEST(Supervisor, ALoadThatTakesTooLongIsToldWithARetryAfter) {
  SupervisorUnderTest t;
  t.fake.plan("m", {{.hold = true}});
  auto body = [&]() -> Task<void> {
    const auto lease = co_await t.acquire(spec_of("m"), {.timeout = 1ms});
    EXPECT_EQ(lease.error().code, ErrorCode::kUnavailable);
    EXPECT_GT(lease.error().retry_after_s, 0);
    EXPECT_THAT(lease.error().message, HasSubstr("still loading"));
    t.fake.release("m");
    EXPECT_TRUE(co_await t.acquire(spec_of("m")));
    EXPECT_EQ(t.fake.starts, 1);
  };
  t.run(body());
}

TEST(Supervisor, ALongestTimeoutDoesNotOverflow) {
  SupervisorUnderTest t;
  auto body = [&]() -> Task<void> {
    EXPECT_TRUE(co_await t.acquire(spec_of("m"), {.timeout = std::chrono::milliseconds::max()}));
  };
  t.run(body());
}

TEST(Supervisor, ANewLoadTakesTheNewSettings) {
  SupervisorUnderTest t;
  auto body = [&]() -> Task<void> {
    auto spec = spec_of("m");
    {
      const auto lease = co_await t.acquire(spec);
    }
    EXPECT_TRUE(co_await t.supervisor->unload("m", false));
    spec = spec_of("m");
    spec->settings.context = 512;
    const auto lease = co_await t.acquire(spec);
    EXPECT_EQ(lease->info().context, 512U);
  };
  t.run(body());
}

TEST(Supervisor, TellsADriverWhatOurOwnEnginesKeepBusy) {
  SupervisorUnderTest t;
  auto body = [&]() -> Task<void> {
    const auto busy = co_await t.acquire(spec_of("a"));
    const auto next = co_await t.acquire(spec_of("b"));
    EXPECT_EQ(t.fake.specs[0].own_load, 0);
    EXPECT_EQ(t.fake.specs[1].own_load, 2);
  };
  t.run(body());
}

TEST(Supervisor, NamesOfExternalEnginesDoNotPileUp) {
  SupervisorUnderTest t({.keep_alive = {0}, .restart_backoff = 1ms});
  auto body = [&]() -> Task<void> {
    for (int i = 0; i < 20; ++i) {
      auto spec = spec_of("cloud/anything-" + std::to_string(i));
      spec->external.emplace();
      EXPECT_TRUE(co_await t.acquire(spec));
    }
    while (!t.supervisor->report().empty()) co_await sleep_for(1ms);
    EXPECT_THAT(t.metrics.render(), ::testing::Not(HasSubstr("anything-")));
  };
  t.run(body());
}

}  // namespace
}  // namespace llm::engines
