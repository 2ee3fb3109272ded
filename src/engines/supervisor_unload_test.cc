// Unloading and memory: keep-alive, unload, room for others, refusals.
#include <gmock/gmock.h>

#include "engines/supervisor.h"
#include "engines/supervisor_under_test.h"

namespace llm::engines {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(SupervisorIdle, ALeaseKeepsTheEngine) {
  SupervisorUnderTest t({.keep_alive = {0}});
  auto body = [&]() -> Task<void> {
    auto lease = co_await t.acquire(spec_of("m"));
    {
      const auto gone = co_await t.acquire(spec_of("idle"));
    }
    co_await t.until("idle", EngineState::kStopped);  // so the idle check has come by
    EXPECT_EQ(t.state("m"), EngineState::kReady);
    lease = fail(ErrorCode::kInternal, "");
    co_await t.until("m", EngineState::kStopped);
    EXPECT_EQ(t.fake.stops, 2);
  };
  t.run(body());
}

TEST(SupervisorIdle, TheModelAndTheRequestSayHowLong) {
  SupervisorUnderTest t({.keep_alive = {0}});
  auto body = [&]() -> Task<void> {
    auto own = spec_of("own");
    own->settings.keep_alive = json::Duration{json::Duration::kNever};
    {
      const auto lease = co_await t.acquire(own);
    }
    {
      const auto lease = co_await t.acquire(spec_of("asked"), {.keep_alive = json::Duration{3'600'000}});
    }
    {
      const auto lease = co_await t.acquire(spec_of("default"));
    }
    co_await t.until("default", EngineState::kStopped);
    EXPECT_EQ(t.state("own"), EngineState::kReady);
    EXPECT_EQ(t.state("asked"), EngineState::kReady);
    EXPECT_TRUE(t.report("own").keep_alive.never());
    EXPECT_EQ(t.report("asked").keep_alive.ms, 3'600'000);
    {
      const auto lease = co_await t.acquire(spec_of("asked"), {.keep_alive = json::Duration{0}});
    }
    co_await t.until("asked", EngineState::kStopped);
    EXPECT_EQ(t.report("asked").keep_alive.ms, 0);
  };
  t.run(body());
}

TEST(SupervisorIdle, WhatARequestAskedForEndsWithTheEngine) {
  SupervisorUnderTest t;
  auto body = [&]() -> Task<void> {
    {
      const auto lease = co_await t.acquire(spec_of("m"), {.keep_alive = json::Duration{-1}});
    }
    EXPECT_TRUE(t.report("m").keep_alive.never());
    EXPECT_TRUE(co_await t.supervisor->unload("m", false));
    EXPECT_EQ(t.report("m").keep_alive.ms, 300'000);
  };
  t.run(body());
}

TEST(SupervisorUnload, WaitsForRequestsUnlessForced) {
  SupervisorUnderTest t;
  auto body = [&]() -> Task<void> {
    for (const bool force : {false, true}) {
      auto lease = co_await t.acquire(spec_of("m"));
      std::optional<Result<void>> unloaded;
      TaskGroup group(t.loop.executor());
      auto unload = [&]() -> Task<void> { unloaded = co_await t.supervisor->unload("m", force); };
      group.spawn(unload());
      co_await t.settle();
      EXPECT_EQ(unloaded.has_value(), force);
      lease = fail(ErrorCode::kInternal, "");
      co_await group.join();
      EXPECT_TRUE(*unloaded);
      EXPECT_EQ(t.state("m"), EngineState::kStopped);
    }
  };
  t.run(body());
}

TEST(SupervisorUnload, WhatIsNotLoadedIsNotFound) {
  SupervisorUnderTest t;
  auto body = [&]() -> Task<void> {
    EXPECT_EQ((co_await t.supervisor->unload("m", false)).error().code, ErrorCode::kNotFound);
    {
      const auto lease = co_await t.acquire(spec_of("m"));
    }
    EXPECT_TRUE(co_await t.supervisor->unload("m", false));
    EXPECT_EQ((co_await t.supervisor->unload("m", false)).error().code, ErrorCode::kNotFound);
  };
  t.run(body());
}

TEST(SupervisorUnload, GivesUpALoadAndTellsItsWaiters) {
  SupervisorUnderTest t({.restart_backoff = 60s});
  t.fake.plan("m", {{.hold = true}, {}});
  auto body = [&]() -> Task<void> {
    SupervisorUnderTest::Acquired lease;
    TaskGroup group(t.loop.executor());
    t.acquire_later(group, spec_of("m"), lease);
    co_await t.until("m", EngineState::kStarting);
    co_await t.settle();
    EXPECT_TRUE(co_await t.supervisor->unload("m", false));
    co_await group.join();
    EXPECT_EQ(lease->error().code, ErrorCode::kUnavailable);
    EXPECT_THAT(lease->error().message, HasSubstr("was unloaded while it was loading"));
    EXPECT_EQ(t.state("m"), EngineState::kStopped);
    EXPECT_TRUE(co_await t.acquire(spec_of("m")));  // no back-off: nothing is broken
  };
  t.run(body());
}

TEST(SupervisorUnload, TwoAtOnceAndANewRequest) {
  SupervisorUnderTest t;
  t.fake.plan("m", {{.hold_stop = true}, {}});
  auto body = [&]() -> Task<void> {
    {
      const auto lease = co_await t.acquire(spec_of("m"));
    }
    TaskGroup group(t.loop.executor());
    auto unload = [&](bool force) -> Task<void> { EXPECT_TRUE(co_await t.supervisor->unload("m", force)); };
    group.spawn(unload(false));
    group.spawn(unload(true));
    co_await t.until("m", EngineState::kStopping);
    SupervisorUnderTest::Acquired lease;
    t.acquire_later(group, spec_of("m"), lease);
    co_await t.settle();
    EXPECT_FALSE(lease);
    t.fake.release_stop("m");
    co_await group.join();
    EXPECT_TRUE(*lease);
    EXPECT_EQ(t.fake.starts, 2);
    EXPECT_EQ(t.fake.stops, 1);
  };
  t.run(body());
}

TEST(SupervisorMemory, RefusesWithNumbers) {
  SupervisorUnderTest t({.memory_limit = 2 * kGiB});
  auto body = [&]() -> Task<void> {
    const auto lease = co_await t.acquire(spec_of("big", 4));
    EXPECT_EQ(lease.error().code, ErrorCode::kInsufficientMemory);
    EXPECT_THAT(lease.error().message, HasSubstr("engines.memory_limit is 2.0 GiB"));
    EXPECT_GT(std::get<std::int64_t>(lease.error().details.at(0).value), static_cast<std::int64_t>(4 * kGiB));
    EXPECT_EQ(std::get<std::int64_t>(lease.error().details.at(1).value), static_cast<std::int64_t>(2 * kGiB));
    EXPECT_EQ(t.fake.starts, 0);
    EXPECT_EQ(t.report("big").memory_estimate, 0U);
  };
  t.run(body());
}

TEST(SupervisorMemory, UnloadsTheLeastRecentlyUsedIdleEngine) {
  SupervisorUnderTest t({.memory_limit = 7 * kGiB});  // three of 2 GiB and a bit
  auto body = [&]() -> Task<void> {
    {
      const auto lease = co_await t.acquire(spec_of("a"));
    }
    {
      const auto lease = co_await t.acquire(spec_of("b"));
    }
    {
      const auto lease = co_await t.acquire(spec_of("c"));
    }
    {
      const auto lease = co_await t.acquire(spec_of("a"));
    }
    {
      const auto lease = co_await t.acquire(spec_of("d"));
    }
    EXPECT_EQ(t.state("b"), EngineState::kStopped);
    const auto c = co_await t.acquire(spec_of("c"));
    {
      const auto lease = co_await t.acquire(spec_of("e"));
    }
    EXPECT_EQ(t.state("a"), EngineState::kStopped);
    EXPECT_EQ(t.state("c"), EngineState::kReady);
    EXPECT_TRUE(t.log.contains("engine unloaded to make room"));
  };
  t.run(body());
}

TEST(SupervisorMemory, UnloadsNothingForALoadItWouldRefuse) {
  SupervisorUnderTest t({.memory_limit = 5 * kGiB});
  auto body = [&]() -> Task<void> {
    {
      const auto lease = co_await t.acquire(spec_of("a"));
    }
    EXPECT_EQ((co_await t.acquire(spec_of("big", 40))).error().code, ErrorCode::kInsufficientMemory);
    EXPECT_EQ(t.state("a"), EngineState::kReady);
  };
  t.run(body());
}

TEST(SupervisorMemory, WaitsForAnEngineThatIsBeingUnloaded) {
  SupervisorUnderTest t({.memory_limit = 3 * kGiB});
  t.fake.plan("a", {{.hold_stop = true}});
  auto body = [&]() -> Task<void> {
    {
      const auto lease = co_await t.acquire(spec_of("a"));
    }
    TaskGroup group(t.loop.executor());
    auto unload = [&]() -> Task<void> { EXPECT_TRUE(co_await t.supervisor->unload("a", false)); };
    group.spawn(unload());
    co_await t.until("a", EngineState::kStopping);
    SupervisorUnderTest::Acquired lease;
    t.acquire_later(group, spec_of("b"), lease);
    co_await t.settle();
    EXPECT_FALSE(lease);
    t.fake.release_stop("a");
    co_await group.join();
    EXPECT_TRUE(*lease);
  };
  t.run(body());
}

TEST(SupervisorMemory, HalvesTheContextThatNobodyChose) {
  SupervisorUnderTest t;
  t.memory = {4 * kGiB, 2 * kGiB};  // weights 1 GiB, 256 MiB margin: 0.5 GiB of KV cache fits
  auto body = [&]() -> Task<void> {
    auto free = spec_of("free");
    free->settings.context = 0;
    const auto lease = co_await t.acquire(free);
    EXPECT_EQ(lease->info().context, 4096U);
    EXPECT_EQ((co_await t.acquire(spec_of("chosen"))).error().code, ErrorCode::kInsufficientMemory);
  };
  t.run(body());
}

TEST(SupervisorMemory, UnloadsAnIdleEngineRatherThanHalvingTheContext) {
  for (const std::uint64_t limit : {std::uint64_t{0}, 3 * kGiB}) {
    SupervisorUnderTest t({.memory_limit = limit});
    t.memory = {4 * kGiB, 3 * kGiB};
    t.fake.plan("a", {{.memory = 2 * kGiB}});
    auto body = [&]() -> Task<void> {
      {
        const auto lease = co_await t.acquire(spec_of("a"));
      }
      t.memory.available = 1 * kGiB;
      auto free = spec_of("free");
      free->settings.context = 0;
      TaskGroup group(t.loop.executor());
      SupervisorUnderTest::Acquired lease;
      t.acquire_later(group, free, lease);
      co_await t.until("a", EngineState::kStopping);
      t.memory.available = 3 * kGiB;
      t.fake.release_stop("a");
      co_await group.join();
      EXPECT_EQ((*lease)->info().context, 8192U);
    };
    t.fake.plan("a", {{.hold_stop = true, .memory = 2 * kGiB}});
    t.run(body());
  }
}

TEST(SupervisorMemory, AHeaderThatClaimsTooMuchIsRefusedNotWrapped) {
  SupervisorUnderTest t;
  auto body = [&]() -> Task<void> {
    auto spec = spec_of("liar");
    spec->facts.tensor_bytes = UINT64_MAX - 100;
    spec->settings.cache_ram.bytes = kGiB;
    EXPECT_EQ((co_await t.acquire(spec)).error().code, ErrorCode::kInsufficientMemory);
  };
  t.run(body());
}

}  // namespace
}  // namespace llm::engines
