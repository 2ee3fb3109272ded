#include "inference/admission.h"

#include <gtest/gtest.h>
#include <vector>

#include "async/run_task.h"
#include "async/task_group.h"

namespace llm::inference {
namespace {

using namespace std::chrono_literals;
using Entered = std::optional<Result<Admission::Ticket>>;

struct AdmissionTest : ::testing::Test {
  Task<void> enter(Admission& admission, Entered& into, CancelToken cancel = {}) {
    into = co_await admission.enter(cancel);
  }
  Task<void> settle() {
    for (int i = 0; i < 20; ++i) co_await boost::asio::post(loop.executor(), use_task);
  }
  Loop loop{"test"};
};

TEST_F(AdmissionTest, LetsInByOrderOfArrival) {
  Admission admission({.max_concurrent = 2, .queue_limit = 10, .queue_timeout = 60s});
  auto body = [&]() -> Task<void> {
    TaskGroup group(loop.executor());
    std::vector<Entered> entered(6);
    for (auto& one : entered) group.spawn(enter(admission, one));
    co_await settle();
    EXPECT_EQ(admission.running(), 2U);
    EXPECT_EQ(admission.waiting(), 4U);
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_FALSE(entered[i + 2]);
      entered[i].reset();
      co_await settle();
      EXPECT_TRUE(entered[i + 2] && *entered[i + 2]) << i;
      EXPECT_EQ(admission.running(), 2U);
    }
    entered.clear();
    co_await group.join();
    EXPECT_EQ(admission.running(), 0U);
  };
  run_task(loop, body());
}

TEST_F(AdmissionTest, GrowsAndShrinks) {
  Admission admission({.subject = "model \"m\"", .max_concurrent = 1, .queue_limit = 2, .queue_timeout = 60s});
  auto body = [&]() -> Task<void> {
    TaskGroup group(loop.executor());
    std::vector<Entered> entered(4);
    for (auto& one : entered) group.spawn(enter(admission, one));
    co_await settle();
    EXPECT_TRUE(entered[0] && *entered[0]);
    EXPECT_EQ(admission.waiting(), 2U);
    EXPECT_NE(entered[3]->error().message.find("model \"m\" is busy"), std::string::npos);
    admission.set_max_concurrent(3);
    co_await settle();
    EXPECT_TRUE(entered[1] && *entered[1] && entered[2] && *entered[2]);
    EXPECT_EQ(admission.running(), 3U);
    admission.set_max_concurrent(1);
    group.spawn(enter(admission, entered[3]));
    entered[0].reset();
    entered[1].reset();
    co_await settle();
    EXPECT_EQ(admission.waiting(), 1U);  // one is still at work
    entered[2].reset();
    co_await settle();
    EXPECT_EQ(admission.waiting(), 0U);
    entered.clear();
    co_await group.join();
    EXPECT_EQ(admission.running(), 0U);
  };
  run_task(loop, body());
}

TEST_F(AdmissionTest, RefusesBeyondTheQueue) {
  Admission admission({.max_concurrent = 1, .queue_limit = 1, .queue_timeout = 60s});
  auto body = [&]() -> Task<void> {
    TaskGroup group(loop.executor());
    Entered first, second, third;
    group.spawn(enter(admission, first));
    group.spawn(enter(admission, second));
    group.spawn(enter(admission, third));
    co_await settle();
    EXPECT_FALSE(second);
    EXPECT_EQ(third->error().code, ErrorCode::kOverloaded);
    EXPECT_GT(third->error().retry_after_s, 0);
    first.reset();
    co_await group.join();
    EXPECT_TRUE(*second);
  };
  run_task(loop, body());
}

TEST_F(AdmissionTest, GivesUpAfterAWhile) {
  Admission admission({.max_concurrent = 1, .queue_limit = 5, .queue_timeout = 1ms});
  auto body = [&]() -> Task<void> {
    const auto first = co_await admission.enter({});
    const auto second = co_await admission.enter({});
    EXPECT_EQ(second.error().code, ErrorCode::kOverloaded);
    EXPECT_EQ(admission.waiting(), 0U);
  };
  run_task(loop, body());
}

TEST_F(AdmissionTest, ACancelledWaiterLeavesTheQueue) {
  Admission admission({.max_concurrent = 1, .queue_limit = 5, .queue_timeout = 60s});
  auto body = [&]() -> Task<void> {
    TaskGroup group(loop.executor());
    CancelSource cancel;
    Entered first, second, third;
    group.spawn(enter(admission, first));
    group.spawn(enter(admission, second, cancel.token()));
    group.spawn(enter(admission, third));
    co_await settle();
    cancel.cancel();
    co_await settle();
    EXPECT_EQ(second->error().code, ErrorCode::kCancelled);
    EXPECT_EQ(admission.waiting(), 1U);
    first.reset();
    co_await group.join();
    EXPECT_TRUE(*third);
  };
  run_task(loop, body());
}

// The place goes to a waiter in the same moment as its cancel: it must not get lost, whoever is first.
TEST_F(AdmissionTest, NoPlaceIsLostWhenAWaiterIsCancelledAsItIsLetIn) {
  for (const bool cancel_first : {false, true}) {
    Admission admission({.max_concurrent = 1, .queue_limit = 5, .queue_timeout = 60s});
    auto body = [&]() -> Task<void> {
      TaskGroup group(loop.executor());
      CancelSource cancel;
      Entered first, second;
      group.spawn(enter(admission, first));
      group.spawn(enter(admission, second, cancel.token()));
      co_await settle();
      if (cancel_first) cancel.cancel();
      first.reset();
      if (!cancel_first) cancel.cancel();
      co_await group.join();
      second.reset();
      EXPECT_EQ(admission.running(), 0U);
      EXPECT_EQ(admission.waiting(), 0U);
      EXPECT_TRUE(co_await admission.enter({}));
    };
    run_task(loop, body());
  }
}

TEST_F(AdmissionTest, TicketsMove) {
  Admission admission({.max_concurrent = 2});
  auto body = [&]() -> Task<void> {
    auto a = std::move(*(co_await admission.enter({})));
    auto b = std::move(*(co_await admission.enter({})));
    EXPECT_EQ(admission.running(), 2U);
    b = std::move(a);
    EXPECT_EQ(admission.running(), 1U);
    b = {};
    EXPECT_EQ(admission.running(), 0U);
  };
  run_task(loop, body());
}

TEST(Admission, ManyLoopsAtOnce) {
  Admission admission({.max_concurrent = 2, .queue_limit = 1000, .queue_timeout = 60s});
  std::atomic<int> done = 0;
  std::atomic<int> inside = 0;
  std::atomic<bool> crowded = false;
  auto work = [&]() -> Task<void> {
    for (int i = 0; i < 50; ++i) {
      const auto ticket = co_await admission.enter({});
      EXPECT_TRUE(ticket);
      if (++inside > 2) crowded = true;
      co_await boost::asio::post(co_await boost::asio::this_coro::executor, use_task);
      --inside;
    }
    ++done;
  };
  {
    Loop a("a"), b("b"), test("test");
    TaskGroup on_a(a.executor()), on_b(b.executor());
    for (int i = 0; i < 4; ++i) {
      on_a.spawn(work());
      on_b.spawn(work());
    }
    a.start();
    b.start();
    auto wait = [&]() -> Task<void> {
      while (done < 8) co_await sleep_for(1ms);
    };
    run_task(test, wait());
  }
  EXPECT_FALSE(crowded);
  EXPECT_EQ(admission.running(), 0U);
}

}  // namespace
}  // namespace llm::inference
