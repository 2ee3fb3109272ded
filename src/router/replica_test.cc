#include "router/replica.h"

#include <gtest/gtest.h>

#include "router/router_metrics.h"

namespace llm::router {
namespace {

using namespace std::chrono_literals;
using Clock = Replica::Clock;

class ReplicaTest : public ::testing::Test {
 protected:
  std::shared_ptr<Replica> make(ReplicaOptions options = {}) {
    return std::make_shared<Replica>("r", options, [this] { return now_; });
  }
  // A request that the replica took, with the outcome of that error; none: good.
  void serve(const std::shared_ptr<Replica>& replica, std::optional<ErrorCode> error = {}, int retry_after_s = 0) {
    const auto admitted = replica->began(10, now_);
    ASSERT_NE(admitted, Replica::Admitted::kNo);
    Pick pick(replica, 10, admitted == Replica::Admitted::kProbe);
    if (error) {
      pick.failed({*error, "", {}, {}, retry_after_s});
    } else {
      pick.succeeded();
    }
  }
  void fail_times(const std::shared_ptr<Replica>& replica, int times) {
    for (int i = 0; i < times; ++i) serve(replica, ErrorCode::kEngineFailed);
  }
  BreakerState breaker(const Replica& replica) const { return replica.report(now_).breaker; }

  Clock::time_point now_{1h};
};

TEST_F(ReplicaTest, ThreeFailuresInARowOpenTheBreakerForAMinute) {
  const auto replica = make();
  fail_times(replica, 2);
  serve(replica);
  fail_times(replica, 2);
  EXPECT_TRUE(replica->available(now_));
  fail_times(replica, 1);
  EXPECT_FALSE(replica->available(now_));
  EXPECT_EQ(breaker(*replica), BreakerState::kOpen);
  EXPECT_EQ(replica->report(now_).retry_at, now_ + 60s);
  EXPECT_EQ(replica->began(1, now_), Replica::Admitted::kNo);
  now_ += 60s - 1ms;
  EXPECT_FALSE(replica->available(now_));
  now_ += 1ms;
  EXPECT_TRUE(replica->available(now_));
  EXPECT_EQ(breaker(*replica), BreakerState::kHalfOpen);
}

TEST_F(ReplicaTest, OneProbeDecides) {
  const auto replica = make();
  fail_times(replica, 3);
  now_ += 60s;
  {
    ASSERT_EQ(replica->began(1, now_), Replica::Admitted::kProbe);
    Pick probe(replica, 1, true);
    EXPECT_FALSE(replica->available(now_ + 1h));
    EXPECT_EQ(replica->began(1, now_ + 1h), Replica::Admitted::kNo);
    probe.failed({ErrorCode::kEngineTimeout, "", {}, {}, 0});
  }
  EXPECT_EQ(breaker(*replica), BreakerState::kOpen);
  EXPECT_EQ(replica->report(now_).retry_at, now_ + 60s);
  now_ += 60s;
  serve(replica);
  EXPECT_EQ(breaker(*replica), BreakerState::kClosed);
  EXPECT_TRUE(replica->available(now_));
}

TEST_F(ReplicaTest, AProbeWithoutAVerdictFreesThePlace) {
  const auto replica = make();
  fail_times(replica, 3);
  now_ += 60s;
  for (const auto code : {ErrorCode::kCancelled, ErrorCode::kInvalidArgument, ErrorCode::kOverloaded}) {
    serve(replica, code);
    EXPECT_EQ(breaker(*replica), BreakerState::kHalfOpen);
    EXPECT_TRUE(replica->available(now_));
  }
  ASSERT_EQ(replica->began(1, now_), Replica::Admitted::kProbe);
  {
    const Pick dropped(replica, 1, true);
  }
  EXPECT_EQ(replica->began(1, now_), Replica::Admitted::kProbe);
}

TEST_F(ReplicaTest, WhatBeganBeforeItOpenedDecidesNothing) {
  const auto replica = make();
  ASSERT_EQ(replica->began(1, now_), Replica::Admitted::kYes);
  ASSERT_EQ(replica->began(1, now_), Replica::Admitted::kYes);
  Pick good(replica, 1);
  Pick bad(replica, 1);
  fail_times(replica, 3);
  good.succeeded();
  EXPECT_EQ(breaker(*replica), BreakerState::kOpen);
  now_ += 60s;
  ASSERT_EQ(replica->began(1, now_), Replica::Admitted::kProbe);
  Pick probe(replica, 1, true);
  bad.failed({ErrorCode::kEngineFailed, "", {}, {}, 0});
  probe.succeeded();
  EXPECT_EQ(breaker(*replica), BreakerState::kClosed);
}

TEST_F(ReplicaTest, OnlyItsOwnFaultsCount) {
  const auto replica = make();
  for (const auto code :
       {ErrorCode::kInvalidArgument, ErrorCode::kContextLengthExceeded, ErrorCode::kCancelled, ErrorCode::kUnsupported,
        ErrorCode::kOverloaded, ErrorCode::kRateLimited, ErrorCode::kInsufficientMemory, ErrorCode::kNotFound}) {
    for (int i = 0; i < 5; ++i) serve(replica, code);
  }
  EXPECT_EQ(replica->failures(), 0U);
  EXPECT_TRUE(replica->available(now_));
  serve(replica, ErrorCode::kEngineFailed);
  serve(replica, ErrorCode::kEngineTimeout);
  serve(replica, ErrorCode::kUnavailable);
  EXPECT_FALSE(replica->available(now_));
}

TEST_F(ReplicaTest, AFullReplicaIsPassedOverAsLongAsItSays) {
  const auto replica = make();
  serve(replica, ErrorCode::kOverloaded);
  EXPECT_TRUE(replica->available(now_));
  EXPECT_TRUE(replica->steered_away(now_ + 999ms));
  EXPECT_FALSE(replica->steered_away(now_ + 1s));
  serve(replica, ErrorCode::kRateLimited, 5);
  EXPECT_TRUE(replica->steered_away(now_ + 4999ms));
  serve(replica, ErrorCode::kRateLimited, 3600);
  EXPECT_FALSE(replica->steered_away(now_ + 30s));
}

TEST_F(ReplicaTest, EjectionsGrowAndAreForgotten) {
  const auto replica = make({.breaker = {.failures = 1000}});
  const OutlierSettings outlier{.error_rate = 0.5, .window = 4, .eject_for = {1000}};
  fail_times(replica, 1);
  EXPECT_EQ(replica->error_rate(4), 0);  // fewer than half of the window
  fail_times(replica, 1);
  EXPECT_EQ(replica->error_rate(4), 1);
  for (const auto away : {1s, 2s, 4s, 8s, 16s, 32s, 32s}) {
    replica->eject(outlier, now_);
    EXPECT_EQ(replica->report(now_).retry_at, now_ + away);
    EXPECT_FALSE(replica->available(now_ + away - 1ms));
    now_ += away;
    EXPECT_TRUE(replica->available(now_));
    EXPECT_EQ(replica->error_rate(4), 0);
    fail_times(replica, 2);
  }
  for (int i = 0; i < 4; ++i) serve(replica);
  EXPECT_EQ(replica->error_rate(4), 0);
  replica->eject(outlier, now_);
  EXPECT_EQ(replica->report(now_).retry_at, now_ + 1s);
}

TEST_F(ReplicaTest, OnlyTheWindowCounts) {
  const auto replica = make({.breaker = {.failures = 1000}});
  fail_times(replica, 300);
  EXPECT_EQ(replica->error_rate(20), 1);
  for (int i = 0; i < 10; ++i) serve(replica);
  EXPECT_EQ(replica->error_rate(20), 0.5);
  for (int i = 0; i < 10; ++i) serve(replica);
  EXPECT_EQ(replica->error_rate(20), 0);
}

TEST_F(ReplicaTest, SlowStartAfterItCameBack) {
  const auto replica = make({.slow_start = 10s});
  EXPECT_EQ(replica->readiness(now_), Replica::kLeastReadiness);
  EXPECT_EQ(replica->readiness(now_ + 5s), 0.5);
  EXPECT_EQ(replica->readiness(now_ + 10s), 1);
  now_ += 1h;
  fail_times(replica, 3);
  now_ += 60s;
  serve(replica);
  EXPECT_EQ(replica->readiness(now_ + 5s), 0.5);
  now_ += 1h;
  replica->health(false, now_, "connection refused");
  EXPECT_FALSE(replica->available(now_));
  EXPECT_EQ(replica->report(now_).ill_because, "connection refused");
  now_ += 1min;
  replica->health(true, now_);
  EXPECT_TRUE(replica->available(now_));
  EXPECT_EQ(replica->readiness(now_), Replica::kLeastReadiness);
  now_ += 1h;
  replica->health(true, now_);  // it was well all the time
  EXPECT_EQ(replica->readiness(now_), 1);
  EXPECT_EQ(make({.slow_start = 0ms})->readiness(now_), 1);
}

TEST_F(ReplicaTest, DrainingKeepsWhatIsThere) {
  const auto replica = make();
  ASSERT_EQ(replica->began(7, now_), Replica::Admitted::kYes);
  {
    Pick pick(replica, 7);
    replica->set_draining(true);
    EXPECT_FALSE(replica->available(now_));
    EXPECT_EQ(replica->requests_in_flight(), 1);
    EXPECT_EQ(replica->tokens_in_flight(), 7);
    pick.succeeded();
  }
  EXPECT_EQ(replica->requests_in_flight(), 0);
  EXPECT_EQ(replica->tokens_in_flight(), 0);
  replica->set_draining(false);
  EXPECT_TRUE(replica->available(now_));
}

TEST_F(ReplicaTest, LatencyIsSmoothedAndForgotten) {
  const auto replica = make();
  EXPECT_EQ(replica->first_token_seconds(), 0);
  replica->first_token(1);
  EXPECT_EQ(replica->first_token_seconds(now_), 1);
  replica->first_token(2);
  EXPECT_FLOAT_EQ(static_cast<float>(replica->first_token_seconds(now_)), 1.2F);
  now_ += Replica::kLatencyForgets + 1ms;
  EXPECT_EQ(replica->first_token_seconds(now_), 0);
  replica->first_token(5);
  EXPECT_EQ(replica->first_token_seconds(now_), 5);
}

TEST_F(ReplicaTest, AMovedPickEndsOnce) {
  const auto replica = make();
  ASSERT_EQ(replica->began(3, now_), Replica::Admitted::kYes);
  ASSERT_EQ(replica->began(4, now_), Replica::Admitted::kYes);
  Pick a(replica, 3);
  Pick b(replica, 4);
  a = std::move(b);
  EXPECT_EQ(replica->tokens_in_flight(), 4);
  const Pick c(std::move(a));
  EXPECT_EQ(replica->requests_in_flight(), 1);
}

TEST_F(ReplicaTest, CountsWhatItsBreakerDoes) {
  observe::GatewayMetrics gateway("test");
  RouterMetrics metrics(gateway);
  const auto replica = make({.metrics = &metrics.replica("r")});
  fail_times(replica, 3);
  now_ += 60s;
  serve(replica);
  replica->eject({}, now_);
  const std::string text = gateway.render();
  EXPECT_NE(text.find("llm_mcp_router_breaker_transitions_total{replica=\"r\",to=\"open\"} 1"), std::string::npos)
      << text;
  EXPECT_NE(text.find("llm_mcp_router_breaker_transitions_total{replica=\"r\",to=\"half_open\"} 1"), std::string::npos);
  EXPECT_NE(text.find("llm_mcp_router_breaker_transitions_total{replica=\"r\",to=\"closed\"} 1"), std::string::npos);
  EXPECT_NE(text.find("llm_mcp_router_breaker_state{replica=\"r\"} 0"), std::string::npos);
  EXPECT_NE(text.find("llm_mcp_router_ejections_total{replica=\"r\"} 1"), std::string::npos);
}

}  // namespace
}  // namespace llm::router
