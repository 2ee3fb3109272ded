#include "access/login_throttle.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

namespace llm::access {
namespace {

constexpr LoginThrottleSettings kThree{.failures = 3, .window_ms = 1'000, .block_ms = 5'000, .max_addresses = 1'000};

void fail_times(LoginThrottle& throttle, std::string_view address, int times, std::int64_t now) {
  for (int i = 0; i < times; ++i) throttle.failed(address, now);
}

TEST(LoginThrottle, BlocksAtTheLimitAndNotBefore) {
  LoginThrottle throttle(kThree);
  fail_times(throttle, "10.0.0.1:1", 2, 0);
  EXPECT_TRUE(throttle.check("10.0.0.1:2", 0));
  throttle.failed("10.0.0.1:3", 999);
  const auto blocked = throttle.check("10.0.0.1:4", 999);
  ASSERT_FALSE(blocked);
  EXPECT_EQ(blocked.error().code, ErrorCode::kRateLimited);
  EXPECT_EQ(blocked.error().retry_after_s, 5);
  EXPECT_TRUE(throttle.check("10.0.0.2:4", 999));
}

TEST(LoginThrottle, TheBlockEndsByItself) {
  LoginThrottle throttle(kThree);
  fail_times(throttle, "10.0.0.1", 3, 0);
  const auto late = throttle.check("10.0.0.1", 4'999);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().retry_after_s, 1);
  EXPECT_TRUE(throttle.check("10.0.0.1", 5'000));
  // And the count starts anew.
  fail_times(throttle, "10.0.0.1", 2, 5'000);
  EXPECT_TRUE(throttle.check("10.0.0.1", 5'000));
  throttle.failed("10.0.0.1", 5'001);
  EXPECT_FALSE(throttle.check("10.0.0.1", 5'001));
}

TEST(LoginThrottle, FailuresFarApartDoNotAddUp) {
  LoginThrottle throttle(kThree);
  for (std::int64_t now = 0; now < 100'000; now += 600) {
    throttle.failed("10.0.0.1", now);
    EXPECT_TRUE(throttle.check("10.0.0.1", now)) << now;
  }
}

TEST(LoginThrottle, OneHostHasAllOfAn64) {
  LoginThrottle throttle(kThree);
  throttle.failed("[2001:db8:1:2::1]:1", 0);
  throttle.failed("[2001:db8:1:2:ffff::9]:1", 0);
  throttle.failed("2001:db8:1:2:1:2:3:4", 0);
  EXPECT_FALSE(throttle.check("[2001:db8:1:2::77]:5", 0));
  EXPECT_TRUE(throttle.check("[2001:db8:1:3::1]:5", 0));
  // IPv4 in IPv6's clothes is the same client, and not all IPv4 addresses at once.
  fail_times(throttle, "[::ffff:10.0.0.1]:1", 3, 0);
  EXPECT_FALSE(throttle.check("10.0.0.1:9", 0));
  EXPECT_TRUE(throttle.check("10.0.0.2:9", 0));
}

TEST(LoginThrottle, LoopbackCountsAndTheUnixSocketDoesNot) {
  LoginThrottle throttle(kThree);
  fail_times(throttle, "127.0.0.1:1", 3, 0);
  EXPECT_FALSE(throttle.check("127.0.0.1:2", 0));
  fail_times(throttle, "unix", 100, 0);
  EXPECT_TRUE(throttle.check("unix", 0));
}

TEST(LoginThrottle, MemoryIsBounded) {
  LoginThrottle throttle(kThree);
  for (int i = 0; i < 50'000; ++i) throttle.failed(fmt::format("10.{}.{}.1", i / 256, i % 256), 0);
  EXPECT_LE(throttle.remembered(), kThree.max_addresses);
  EXPECT_GT(throttle.remembered(), kThree.max_addresses / 2);
  // Who came last is remembered.
  fail_times(throttle, "10.9.9.9", 3, 0);
  EXPECT_FALSE(throttle.check("10.9.9.9", 0));
}

TEST(LoginThrottle, ZeroFailuresTurnsItOff) {
  LoginThrottle throttle({.failures = 0});
  fail_times(throttle, "10.0.0.1", 1'000, 0);
  EXPECT_TRUE(throttle.check("10.0.0.1", 0));
  EXPECT_EQ(throttle.remembered(), 0U);
}

TEST(LoginThrottle, ManyThreads) {
  LoginThrottle throttle({.failures = 400, .window_ms = 1'000, .block_ms = 1'000, .max_addresses = 64});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&throttle, t] {
      for (int i = 0; i < 100; ++i) {
        throttle.failed("10.0.0.1", 0);
        throttle.failed(fmt::format("10.{}.{}.1", t, i), 0);
        (void)throttle.check("10.0.0.1", 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // Its shard holds few others, and it failed all the time: no count was lost.
  EXPECT_FALSE(throttle.check("10.0.0.1", 0));
}

}  // namespace
}  // namespace llm::access
