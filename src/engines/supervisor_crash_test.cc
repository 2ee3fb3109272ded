// Crashes and the end: restarts, explanations, stop() in every state, destruction.
#include <gmock/gmock.h>

#include "engines/supervisor.h"
#include "engines/supervisor_under_test.h"

namespace llm::engines {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

const Error kSeen{ErrorCode::kEngineFailed, "the engine closed the connection", {}, {}, 0};

TEST(SupervisorCrash, RestartsByItself) {
  SupervisorUnderTest t;
  auto body = [&]() -> Task<void> {
    {
      const auto lease = co_await t.acquire(spec_of("m"));
    }
    t.fake.crash("m");
    EXPECT_EQ(t.state("m"), EngineState::kFailed);
    EXPECT_EQ(t.report("m").restarts, 1U);
    co_await t.until("m", EngineState::kReady);
    EXPECT_EQ(t.fake.starts, 2);
    EXPECT_EQ(t.fake.alive, 1);
    EXPECT_TRUE(co_await t.acquire(spec_of("m")));
  };
  t.run(body());
}

TEST(SupervisorCrash, TheLogStaysWhenTheEngineIsGone) {
  SupervisorUnderTest t({.restart_backoff = 30s});
  t.fake.plan("broken", {{.outcome = fail(ErrorCode::kEngineFailed, "no such file")}});
  const std::vector<std::string> lines{"engine of m"};
  auto body = [&]() -> Task<void> {
    EXPECT_EQ((co_await t.supervisor->log_lines("m")).error().code, ErrorCode::kNotFound);
    {
      const auto lease = co_await t.acquire(spec_of("m"));
    }
    EXPECT_EQ(co_await t.supervisor->log_lines("m"), lines);
    t.fake.crash("m");
    EXPECT_EQ(t.state("m"), EngineState::kFailed);
    EXPECT_EQ(co_await t.supervisor->log_lines("m"), lines);
    EXPECT_FALSE(co_await t.acquire(spec_of("broken")));
    EXPECT_EQ(co_await t.supervisor->log_lines("broken"), std::vector<std::string>{"engine of broken"});
  };
  t.run(body());
}

TEST(SupervisorCrash, TheBackOffDoublesAndRequestsHearOfIt) {
  SupervisorUnderTest t({.restart_backoff = 30s});
  auto body = [&]() -> Task<void> {
    for (const int seconds : {30, 60, 60}) {
      {
        const auto lease = co_await t.acquire(spec_of("m"), {.retry_now = true});
      }
      const auto before = std::chrono::steady_clock::now();
      t.fake.crash("m");
      EXPECT_GE(t.report("m").status.retry_at, before + std::chrono::seconds(seconds));
      const auto refused = co_await t.acquire(spec_of("m"));
      EXPECT_EQ(refused.error().code, ErrorCode::kEngineFailed);
      EXPECT_LE(refused.error().retry_after_s, seconds);
      EXPECT_GT(refused.error().retry_after_s, 0);
    }
    EXPECT_EQ(t.fake.starts, 3);
  };
  t.run(body());
}

TEST(SupervisorCrash, StopsRestartingWhenItCrashesTooOften) {
  SupervisorUnderTest t({.max_restarts = 2, .restart_backoff = 1ms});
  auto body = [&]() -> Task<void> {
    const auto lease = co_await t.acquire(spec_of("m"));
    for (int i = 0; i < 2; ++i) {
      t.fake.crash("m");
      co_await t.until("m", EngineState::kReady);
    }
    t.fake.crash("m");
    EXPECT_TRUE(t.log.contains("\"restart_in_ms\":-1"));
    while (t.report("m").status.retry_at > std::chrono::steady_clock::now()) co_await sleep_for(1ms);
    co_await t.settle();
    EXPECT_EQ(t.state("m"), EngineState::kFailed);
    EXPECT_EQ(t.fake.starts, 3);
    EXPECT_EQ(t.fake.alive, 0);
    EXPECT_TRUE(co_await t.acquire(spec_of("m")));  // but a request starts it
    EXPECT_EQ(t.fake.starts, 4);
  };
  t.run(body());
}

TEST(SupervisorCrash, AnExplicitLoadDuringTheBackOffIsTheOnlyOne) {
  SupervisorUnderTest t({.restart_backoff = 20ms});
  t.fake.plan("m", {{.hold_stop = true}, {.hold = true}, {}});
  auto body = [&]() -> Task<void> {
    {
      const auto lease = co_await t.acquire(spec_of("m"));
    }
    t.fake.crash("m");
    co_await t.settle();  // the dead driver is being stopped and takes its time
    t.fake.release_stop("m");
    SupervisorUnderTest::Acquired lease;
    TaskGroup group(t.loop.executor());
    t.acquire_later(group, spec_of("m"), lease, {.retry_now = true});
    co_await t.until("m", EngineState::kStarting);
    const auto retry_at = t.report("m").status.retry_at;
    while (retry_at + 5ms > std::chrono::steady_clock::now()) co_await sleep_for(1ms);
    co_await t.settle();
    EXPECT_EQ(t.fake.starts, 2);
    t.fake.release("m");
    co_await group.join();
    EXPECT_TRUE(*lease);
    EXPECT_EQ(t.fake.starts, 2);
  };
  t.run(body());
}

TEST(SupervisorCrash, ExplainsWhatARequestSaw) {
  SupervisorUnderTest t({.restart_backoff = 60s});
  auto body = [&]() -> Task<void> {
    const auto lease = co_await t.acquire(spec_of("m"));
    // The connection breaks first, the process is reaped a moment later.
    std::optional<Error> told;
    TaskGroup group(t.loop.executor());
    auto ask = [&]() -> Task<void> { told = co_await t.supervisor->explain(*lease, kSeen); };
    group.spawn(ask());
    co_await t.settle();
    EXPECT_FALSE(told);
    t.fake.crash("m", {ErrorCode::kInsufficientMemory, "memory ran out", {}, {}, 0});
    co_await group.join();
    EXPECT_EQ(told->code, ErrorCode::kInsufficientMemory);
    EXPECT_THAT(told->message, HasSubstr("memory ran out; it is being restarted"));
    EXPECT_GT(told->retry_after_s, 0);
  };
  t.run(body());
}

TEST(SupervisorCrash, ExplainsAlsoAfterTheRestart) {
  SupervisorUnderTest t;
  auto body = [&]() -> Task<void> {
    const auto lease = co_await t.acquire(spec_of("m"));
    t.fake.crash("m", {ErrorCode::kInvalidArgument, "odd", {}, {}, 0});
    co_await t.until("m", EngineState::kReady);
    const auto told = co_await t.supervisor->explain(*lease, kSeen);
    EXPECT_EQ(told.code, ErrorCode::kEngineFailed);  // no fault of the client
    EXPECT_THAT(told.message, HasSubstr("odd"));
  };
  t.run(body());
}

TEST(SupervisorCrash, ExplainsAForcedUnload) {
  SupervisorUnderTest t;
  auto body = [&]() -> Task<void> {
    const auto lease = co_await t.acquire(spec_of("m"));
    EXPECT_TRUE(co_await t.supervisor->unload("m", true));
    const auto told = co_await t.supervisor->explain(*lease, kSeen);
    EXPECT_EQ(told.code, ErrorCode::kUnavailable);
    EXPECT_THAT(told.message, HasSubstr("was unloaded while the request ran"));
    const Error other{ErrorCode::kInvalidArgument, "the prompt", {}, {}, 0};
    EXPECT_EQ(co_await t.supervisor->explain(*lease, other), other);
  };
  t.run(body());
}

TEST(SupervisorCrash, UnloadingABrokenEngineForgetsItsError) {
  SupervisorUnderTest t({.restart_backoff = 60s});
  auto body = [&]() -> Task<void> {
    {
      const auto lease = co_await t.acquire(spec_of("m"));
    }
    t.fake.crash("m");
    EXPECT_TRUE(co_await t.supervisor->unload("m", false));
    EXPECT_EQ(t.state("m"), EngineState::kStopped);
    EXPECT_TRUE(co_await t.acquire(spec_of("m")));
    EXPECT_EQ(t.fake.starts, 2);
  };
  t.run(body());
}

TEST(SupervisorStop, WhileStarting) {
  SupervisorUnderTest t;
  t.fake.plan("m", {{.hold = true}});
  auto body = [&]() -> Task<void> {
    SupervisorUnderTest::Acquired lease;
    TaskGroup group(t.loop.executor());
    t.acquire_later(group, spec_of("m"), lease);
    co_await t.until("m", EngineState::kStarting);
    co_await t.settle();
    co_await t.supervisor->stop();
    co_await group.join();
    EXPECT_EQ(lease->error().code, ErrorCode::kUnavailable);
    EXPECT_EQ(t.fake.cancelled_starts, 1);
    EXPECT_EQ(t.state("m"), EngineState::kStopped);
    const auto late = co_await t.acquire(spec_of("m"));
    EXPECT_THAT(late.error().message, HasSubstr("shutting down"));
  };
  t.run(body());
}

TEST(SupervisorStop, WhenTheDriverIsReadyInSpiteOfTheCancel) {
  SupervisorUnderTest t;
  t.fake.plan("m", {{.hold = true, .deaf = true}});
  auto body = [&]() -> Task<void> {
    SupervisorUnderTest::Acquired lease;
    TaskGroup group(t.loop.executor());
    t.acquire_later(group, spec_of("m"), lease);
    co_await t.until("m", EngineState::kStarting);
    co_await t.settle();
    t.loop.post([&] { t.fake.release("m"); });
    co_await t.supervisor->stop();
    co_await group.join();
    EXPECT_FALSE(*lease);
    EXPECT_EQ(t.fake.stops, 1);
  };
  t.run(body());
}

TEST(SupervisorStop, WhenReadyFailedAndBackingOff) {
  SupervisorUnderTest t({.restart_backoff = 60s});
  t.fake.plan("failed", {{.outcome = fail(kSeen)}});
  auto body = [&]() -> Task<void> {
    const auto ready = co_await t.acquire(spec_of("ready"));
    EXPECT_FALSE(co_await t.acquire(spec_of("failed")));
    {
      const auto lease = co_await t.acquire(spec_of("crashed"));
    }
    t.fake.crash("crashed");
    co_await t.supervisor->stop();
    EXPECT_EQ(t.state("ready"), EngineState::kStopped);
    EXPECT_EQ(t.state("failed"), EngineState::kFailed);
    EXPECT_EQ(t.state("crashed"), EngineState::kFailed);
    EXPECT_EQ(t.fake.alive, 0);
    EXPECT_EQ(t.fake.stops, 2);
  };
  t.run(body());
}

TEST(SupervisorStop, WhileAnUnloadIsUnderWay) {
  SupervisorUnderTest t;
  t.fake.plan("stopping", {{.hold_stop = true}});
  auto body = [&]() -> Task<void> {
    const auto busy = co_await t.acquire(spec_of("busy"));
    {
      const auto lease = co_await t.acquire(spec_of("stopping"));
    }
    TaskGroup group(t.loop.executor());
    auto unload = [&](std::string key) -> Task<void> { (void)co_await t.supervisor->unload(key, false); };
    group.spawn(unload("busy"));  // waits for the lease
    group.spawn(unload("stopping"));
    co_await t.until("stopping", EngineState::kStopping);
    t.loop.post([&] { t.fake.release_stop("stopping"); });
    co_await t.supervisor->stop();
    co_await group.join();
    EXPECT_EQ(t.fake.alive, 0);
    EXPECT_EQ(t.fake.stops, 2);
  };
  t.run(body());
}

TEST(SupervisorStop, ACrashDuringItIsNoCauseToRestart) {
  SupervisorUnderTest t({.restart_backoff = 1ms});
  t.fake.plan("slow", {{.hold_stop = true}});
  auto body = [&]() -> Task<void> {
    {
      const auto lease = co_await t.acquire(spec_of("slow"));
    }
    {
      const auto lease = co_await t.acquire(spec_of("m"));
    }
    t.fake.crash("m");
    t.loop.post([&] { t.fake.release_stop("slow"); });
    co_await t.supervisor->stop();
    EXPECT_EQ(t.fake.starts, 2);
    EXPECT_EQ(t.fake.alive, 0);
  };
  t.run(body());
}

TEST(SupervisorStop, LeasesAndLateEventsOutliveIt) {
  SupervisorUnderTest t;
  t.fake.plan("m", {{.hold = true}});
  auto body = [&]() -> Task<void> {
    auto lease = co_await t.acquire(spec_of("other"));
    SupervisorUnderTest::Acquired waiting;
    TaskGroup group(t.loop.executor());
    t.acquire_later(group, spec_of("m"), waiting);
    co_await t.until("m", EngineState::kStarting);
    co_await t.supervisor->stop();
    co_await group.join();
    t.supervisor.reset();
    lease = fail(kSeen);  // gives the lease back
    co_await t.settle();
  };
  t.run(body());
}

TEST(SupervisorStop, DestroyedWithoutStopWhenItsLoopEnded) {
  SupervisorUnderTest t;
  auto body = [&]() -> Task<void> { EXPECT_TRUE(co_await t.acquire(spec_of("m"))); };
  run_task(t.loop, body());
  t.supervisor.reset();
  EXPECT_EQ(t.fake.alive, 0);
}

}  // namespace
}  // namespace llm::engines
