#include "async/timer_wheel.h"

#include <gtest/gtest.h>
#include <memory>
#include <thread>
#include <vector>

#include "async/loop.h"
#include "async/run_task.h"
#include "async/task_group.h"

namespace llm {
namespace {

using namespace std::chrono_literals;

// A wheel whose time the test sets by hand; its own timer never runs.
class TimerWheelTest : public testing::Test {
 protected:
  // Fires what is due `elapsed` after the start.
  void at(std::chrono::milliseconds elapsed) { wheel.advance_to(start + elapsed); }
  void arm(Deadline& deadline, std::chrono::milliseconds now, std::chrono::milliseconds after) {
    wheel.arm_at(deadline, start + now, after);
  }

  boost::asio::io_context context;
  TimerWheel wheel{context};
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now() + 1s;
  int fired = 0;
  Deadline deadline{[this] { ++fired; }};
};

TEST_F(TimerWheelTest, FiresNeverEarlyAndAtMostOneTickLate) {
  for (const auto after : {0ms, 1ms, 49ms, 50ms, 51ms, 1000ms, 51'199ms, 51'200ms, 51'201ms, 200'000ms}) {
    const auto now = 500'000ms * (fired + 1);
    arm(deadline, now, after);
    EXPECT_TRUE(deadline.armed());
    const int before = fired;
    for (auto time = now; time < now + after; time += std::max(after / 7, 1ms)) at(time);
    at(now + after - 1ms);
    EXPECT_EQ(fired, before) << after.count() << " ms: too early";
    at(now + after + 2 * TimerWheel::kTick);
    EXPECT_EQ(fired, before + 1) << after.count() << " ms: too late";
    EXPECT_FALSE(deadline.armed());
  }
}

TEST_F(TimerWheelTest, AJumpOverSeveralTurnsFiresEverything) {
  std::vector<std::unique_ptr<Deadline>> many;
  for (int i = 0; i < 3000; ++i) {
    many.push_back(std::make_unique<Deadline>([this] { ++fired; }));
    arm(*many.back(), 0ms, i * 100ms);
  }
  at(150s);
  EXPECT_GE(fired, 1499);
  EXPECT_LE(fired, 1501);
  at(100s);  // time that goes backwards does nothing
  at(1h);
  EXPECT_EQ(fired, 3000);
}

TEST_F(TimerWheelTest, ClearedAndRearmed) {
  arm(deadline, 0ms, 1s);
  deadline.clear();
  deadline.clear();
  at(10s);
  EXPECT_EQ(fired, 0);
  arm(deadline, 10s, 1s);
  arm(deadline, 10s, 5s);  // the last word counts
  at(12s);
  EXPECT_EQ(fired, 0);
  at(16s);
  EXPECT_EQ(fired, 1);
}

TEST_F(TimerWheelTest, OutOfRangeDurations) {
  arm(deadline, 0ms, -5s);
  at(200ms);
  EXPECT_EQ(fired, 1);
  arm(deadline, 200ms, std::chrono::milliseconds::max());
  at(24h * 365);
  EXPECT_EQ(fired, 1);
  EXPECT_TRUE(deadline.armed());
}

TEST_F(TimerWheelTest, ADestroyedDeadlineDoesNotFire) {
  auto gone = std::make_unique<Deadline>([this] { ++fired; });
  arm(*gone, 0ms, 1s);
  gone.reset();
  at(10s);
  EXPECT_EQ(fired, 0);
}

TEST_F(TimerWheelTest, ACallbackMayDoAnythingToDeadlines) {
  // All are due at the same time; the first destroys the second, clears the third, rearms the fourth and itself goes.
  auto second = std::make_unique<Deadline>([this] { fired += 100; });
  Deadline third([this] { fired += 100; });
  Deadline fourth([this] { fired += 10; });
  std::unique_ptr<Deadline> first;
  first = std::make_unique<Deadline>([&] {
    ++fired;
    second.reset();
    third.clear();
    arm(fourth, 10s, 10s);
    first.reset();
    ++fired;  // what the callback holds is still there
  });
  for (Deadline* one : {first.get(), second.get(), &third, &fourth}) arm(*one, 0ms, 1s);
  at(10s);
  EXPECT_EQ(fired, 2);
  at(30s);
  EXPECT_EQ(fired, 12);
}

TEST_F(TimerWheelTest, ACallbackMayRearmItself) {
  Deadline again([&] {
    if (++fired < 3) arm(again, fired * 1s, 1s);
  });
  arm(again, 0ms, 1s);
  for (int second = 1; second < 10; ++second) at(second * 1s);
  EXPECT_EQ(fired, 3);
}

TEST_F(TimerWheelTest, ArmingLateInACallbackSkipsNobody) {
  // The callback runs long after its tick, when the next deadline is due already.
  Deadline next([this] { fired += 10; });
  Deadline other([] {});
  Deadline slow([&] {
    ++fired;
    arm(other, 5s, 1s);
  });
  arm(slow, 0ms, 1s);
  arm(next, 0ms, 2s);
  at(1100ms);
  EXPECT_EQ(fired, 1);
  at(5s);
  EXPECT_EQ(fired, 11);
}

TEST(TimerWheel, OutlivedByItsDeadlines) {
  Deadline deadline([] { FAIL(); });
  {
    boost::asio::io_context context;
    TimerWheel wheel(context);
    wheel.arm(deadline, 10ms);
    EXPECT_TRUE(deadline.armed());
  }
  EXPECT_FALSE(deadline.armed());
}

Task<void> wait_for(Loop& loop, std::chrono::milliseconds after, int rounds) {
  Event fired(loop.executor());
  Deadline deadline([&] { fired.notify(); });
  for (int i = 0; i < rounds; ++i) {
    loop.wheel().arm(deadline, after);
    co_await fired.wait();
    EXPECT_FALSE(deadline.armed());
  }
}

Task<void> block_in_a_callback(Loop& loop) {
  Event fired(loop.executor());
  Deadline next([&] { fired.notify(); });
  Deadline other([] {});
  Deadline slow([&] {
    std::this_thread::sleep_for(3 * TimerWheel::kTick);
    loop.wheel().arm(other, 1s);
  });
  loop.wheel().arm(slow, 0ms);
  loop.wheel().arm(next, 2 * TimerWheel::kTick);
  co_await fired.wait();
}

// Once it did: `next` was passed over and came one turn of the wheel, 51 s, late.
TEST(TimerWheel, ACallbackThatBlocksAndArmsPassesNobodyOver) {
  Loop loop("test");
  run_task(loop, block_in_a_callback(loop));
}

TEST(TimerWheel, RunsOnItsLoop) {
  Loop loop("test");
  TaskGroup group(loop.executor());
  for (const auto after : {0ms, 10ms, 70ms}) group.spawn(wait_for(loop, after, 2));
  run_task(loop, group.join());
}

}  // namespace
}  // namespace llm
