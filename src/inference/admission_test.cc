#include "inference/admission.h"

#include <array>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <random>
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
  // One with a name waits; when it is let in, the name goes into `order`.
  Task<void> enter_as(Admission& admission, Claim claim, std::vector<Entered>& tickets, std::size_t slot,
                      std::string& order, char name, CancelToken cancel = {}) {
    auto ticket = co_await admission.enter(claim, cancel);
    if (ticket) order += name;
    tickets[slot] = std::move(ticket);
  }
  // Lets those who wait in one after the other: a hand-driven sequence of turns.
  Task<std::string> turns(std::vector<Entered>& tickets, std::string& order) {
    for (std::size_t served = 0; served < tickets.size(); ++served) {
      for (auto& ticket : tickets) {
        if (ticket && *ticket) ticket.reset();
      }
      co_await settle();
    }
    co_return order;
  }
  static std::int64_t detail(const Error& error, std::string_view name) {
    for (const auto& one : error.details) {
      if (one.name == name) return std::get<std::int64_t>(one.value);
    }
    return -1;
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

TEST_F(AdmissionTest, ServesProjectsByTheirWeights) {
  Admission admission({.max_concurrent = 1, .queue_limit = 100, .queue_timeout = 60s});
  auto body = [&]() -> Task<void> {
    TaskGroup group(loop.executor());
    std::vector<Entered> tickets(13);
    std::string order;
    std::size_t slot = 0;
    group.spawn(enter_as(admission, {.project = "other"}, tickets, slot++, order, '.'));
    for (int i = 0; i < 9; ++i) {
      group.spawn(enter_as(admission, {.project = "A", .project_weight = 3, .cost = 9}, tickets, slot++, order, 'a'));
    }
    for (int i = 0; i < 3; ++i) {
      group.spawn(enter_as(admission, {.project = "B", .project_weight = 1, .cost = 9}, tickets, slot++, order, 'b'));
    }
    co_await settle();
    EXPECT_EQ(co_await turns(tickets, order), ".abaaabaaabaa");
    co_await group.join();
    EXPECT_EQ(admission.running(), 0U);
  };
  run_task(loop, body());
}

TEST_F(AdmissionTest, SettledCostsChangeWhoIsNext) {
  for (const bool settles : {false, true}) {
    Admission admission({.max_concurrent = 1, .queue_limit = 100, .queue_timeout = 60s});
    auto body = [&]() -> Task<void> {
      TaskGroup group(loop.executor());
      std::vector<Entered> tickets(5);
      std::string order;
      // A thought it would take a hundred tokens; it took two.
      group.spawn(enter_as(admission, {.project = "A", .cost = 100}, tickets, 0, order, 'a'));
      for (std::size_t i = 1; i < 3; ++i) {
        group.spawn(enter_as(admission, {.project = "B", .cost = 10}, tickets, i, order, 'b'));
        group.spawn(enter_as(admission, {.project = "A", .cost = 2}, tickets, i + 2, order, 'a'));
      }
      co_await settle();
      EXPECT_EQ(order, "a");
      if (settles) (*tickets[0])->settle(2);
      EXPECT_EQ(co_await turns(tickets, order), settles ? "abaab" : "abbaa");
      co_await group.join();
    };
    run_task(loop, body());
  }
}

TEST_F(AdmissionTest, InteractiveBeforeBatch) {
  Admission admission({.max_concurrent = 1, .queue_limit = 100, .batch_every = 3, .queue_timeout = 60s});
  auto body = [&]() -> Task<void> {
    TaskGroup group(loop.executor());
    std::vector<Entered> tickets(9);
    std::string order;
    group.spawn(enter_as(admission, {}, tickets, 0, order, '.'));
    for (std::size_t i = 1; i < 4; ++i) {
      group.spawn(enter_as(admission, {.priority = access::Priority::kBatch}, tickets, i, order, 'x'));
    }
    for (std::size_t i = 4; i < 9; ++i) group.spawn(enter_as(admission, {}, tickets, i, order, 'i'));
    co_await settle();
    EXPECT_EQ(co_await turns(tickets, order), ".iixiixix");
    co_await group.join();
  };
  run_task(loop, body());
}

TEST_F(AdmissionTest, OneProjectDoesNotFillTheQueueForOthers) {
  Admission admission({.subject = "it", .max_concurrent = 1, .queue_limit = 3, .queue_timeout = 60s});
  auto body = [&]() -> Task<void> {
    TaskGroup group(loop.executor());
    std::vector<Entered> tickets(6);
    std::string order;
    for (std::size_t i = 0; i < 5; ++i) {
      group.spawn(enter_as(admission, {.project = "A"}, tickets, i, order, 'a'));
    }
    co_await settle();
    EXPECT_TRUE(tickets[4] && !*tickets[4]);  // the queue is full of A's own
    EXPECT_EQ(detail((*tickets[4]).error(), "queue_length"), 3);
    EXPECT_EQ(detail((*tickets[4]).error(), "queue_position"), 4);
    group.spawn(enter_as(admission, {.project = "B"}, tickets, 5, order, 'b'));
    co_await settle();
    EXPECT_TRUE(tickets[3] && !*tickets[3]);  // A's newest made room
    if (tickets[3] && !*tickets[3]) {
      EXPECT_EQ((*tickets[3]).error().code, ErrorCode::kOverloaded);
      EXPECT_EQ(detail((*tickets[3]).error(), "queue_position"), 3);
      EXPECT_GT((*tickets[3]).error().retry_after_s, 0);
    }
    EXPECT_EQ(admission.waiting(), 3U);
    EXPECT_EQ(co_await turns(tickets, order), "abaa");
    co_await group.join();
  };
  run_task(loop, body());
}

TEST_F(AdmissionTest, AProjectsShareOfTheQueueIsBounded) {
  Admission admission({.max_concurrent = 1, .queue_limit = 10, .project_queue_limit = 2, .queue_timeout = 60s});
  auto body = [&]() -> Task<void> {
    TaskGroup group(loop.executor());
    std::vector<Entered> tickets(6);
    std::string order;
    for (std::size_t i = 0; i < 4; ++i) group.spawn(enter_as(admission, {.project = "A"}, tickets, i, order, 'a'));
    group.spawn(enter_as(admission, {.project = "B"}, tickets, 4, order, 'b'));
    group.spawn(enter_as(admission, {.project = "B"}, tickets, 5, order, 'b'));
    co_await settle();
    EXPECT_TRUE(tickets[3] && !*tickets[3] && (*tickets[3]).error().message.contains("project's share"));
    EXPECT_EQ(admission.waiting(), 4U);
    EXPECT_EQ(co_await turns(tickets, order), "ababa");
    co_await group.join();
  };
  run_task(loop, body());
}

TEST_F(AdmissionTest, ADeadlineEndsTheWait) {
  Admission admission({.max_concurrent = 1, .queue_limit = 5, .queue_timeout = 600s});
  auto body = [&]() -> Task<void> {
    const auto first = co_await admission.enter({});
    const auto now = std::chrono::steady_clock::now();
    const auto late = co_await admission.enter({.deadline = now - 1s}, {});
    EXPECT_EQ(late.error().code, ErrorCode::kOverloaded);
    const auto soon = co_await admission.enter({.deadline = now + 2ms}, {});
    EXPECT_EQ(soon.error().code, ErrorCode::kOverloaded);
    EXPECT_EQ(detail(soon.error(), "queue_position"), 1);
    EXPECT_EQ(admission.waiting(), 0U);
  };
  run_task(loop, body());
}

// A place every four seconds: who is third waits twelve.
TEST_F(AdmissionTest, RetryAfterFollowsThePaceOfDepartures) {
  auto now = std::chrono::steady_clock::time_point(1h);
  Admission admission({.max_concurrent = 1, .queue_limit = 2, .queue_timeout = 60s, .now = [&] { return now; }});
  auto body = [&]() -> Task<void> {
    TaskGroup group(loop.executor());
    std::vector<Entered> tickets(12);
    std::string order;
    for (std::size_t i = 0; i < 3; ++i) group.spawn(enter_as(admission, {}, tickets, i, order, 'x'));
    co_await settle();
    const auto unknown = co_await admission.enter({});
    EXPECT_EQ(unknown.error().retry_after_s, 2);
    for (std::size_t i = 3; i < 12; ++i) {
      now += 4s;
      tickets[i - 3].reset();
      group.spawn(enter_as(admission, {}, tickets, i, order, 'x'));
      co_await settle();
    }
    const auto refused = co_await admission.enter({});
    EXPECT_EQ(detail(refused.error(), "queue_position"), 3);
    EXPECT_EQ(refused.error().retry_after_s, 12);
    now += 20s;  // nobody has left for long: the pace of the past no longer holds
    EXPECT_EQ((co_await admission.enter({})).error().retry_after_s, 60);
    for (int i = 0; i < 3; ++i) {
      for (auto& ticket : tickets) ticket.reset();
      co_await settle();
    }
    co_await group.join();
  };
  run_task(loop, body());
}

TEST_F(AdmissionTest, TryEnterNeverWaitsAndNeverOvertakes) {
  Admission admission({.max_concurrent = 1, .queue_limit = 5, .queue_timeout = 60s});
  auto body = [&]() -> Task<void> {
    TaskGroup group(loop.executor());
    auto first = admission.try_enter({});
    EXPECT_TRUE(first);
    EXPECT_FALSE(admission.try_enter({}));
    Entered second;
    group.spawn(enter(admission, second));
    co_await settle();
    first.reset();
    EXPECT_FALSE(admission.try_enter({}));  // the place went to the one who waits
    co_await group.join();
    EXPECT_TRUE(second && *second);
  };
  run_task(loop, body());
}

// A thousand requests come, wait, are cancelled, run out of time, are pushed out and settle, in an order that a seed
// gives: at no moment more than the limit run, every one gets one answer, and in the end nothing is held.
TEST_F(AdmissionTest, NothingIsLostUnderRandomTraffic) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::size_t most = 1 + random() % 4;
    Admission admission({.max_concurrent = most, .queue_limit = 8, .queue_timeout = 60s});
    auto body = [&]() -> Task<void> {
      TaskGroup group(loop.executor());
      constexpr std::size_t kRequests = 400;
      std::vector<Entered> tickets(kRequests);
      std::vector<CancelSource> cancels(kRequests);
      std::string order;
      const std::array<std::string_view, 4> projects = {"A", "B", "C", "D"};
      for (std::size_t i = 0; i < kRequests; ++i) {
        const Claim claim{.project = projects[random() % 4],
                          .key = projects[random() % 4],
                          .project_weight = 1.0 + static_cast<double>(random() % 3),
                          .priority = random() % 3 == 0 ? access::Priority::kBatch : access::Priority::kInteractive,
                          .cost = static_cast<std::int64_t>(random() % 100)};
        group.spawn(enter_as(admission, claim, tickets, i, order, 'x', cancels[i].token()));
        const std::size_t other = random() % (i + 1);
        if (random() % 2 == 0) cancels[random() % (i + 1)].cancel();
        if (random() % 2 == 0 && tickets[other] && *tickets[other]) {
          (*tickets[other])->settle(static_cast<std::int64_t>(random() % 200));
          tickets[other] = fail(ErrorCode::kCancelled, "done");
        }
        if (random() % 20 == 0) admission.set_max_concurrent(most = 1 + random() % 4);
        co_await boost::asio::post(loop.executor(), use_task);
        const auto held = std::ranges::count_if(tickets, [](const Entered& one) { return one && *one; });
        EXPECT_LE(static_cast<std::size_t>(held), admission.running());
        EXPECT_LE(admission.running(), 4U);
        EXPECT_LE(admission.waiting(), 8U);
      }
      while (admission.running() > 0 || admission.waiting() > 0) {
        for (auto& ticket : tickets) {
          if (ticket && *ticket) ticket = fail(ErrorCode::kCancelled, "done");
        }
        co_await settle();
      }
      co_await group.join();
      EXPECT_TRUE(std::ranges::all_of(tickets, [](const Entered& one) { return one.has_value(); }));
    };
    run_task(loop, body());
  }
}

// A loop that ends takes with it those who wait, and the place of one who was let in and never came to know.
TEST(Admission, WaitersMayBeDestroyedWithTheirLoop) {
  Admission admission({.max_concurrent = 1, .queue_limit = 5, .queue_timeout = 60s});
  auto first = admission.try_enter({});
  for (const bool let_in : {false, true}) {
    {
      Loop loop("test");
      auto wait = [](Admission* into) -> Task<void> { (void)co_await into->enter({}); };
      TaskGroup group(loop.executor());
      group.spawn(wait(&admission));
      loop.context().poll();
      EXPECT_EQ(admission.waiting(), 1U);
      if (let_in) first.reset();
    }
    EXPECT_EQ(admission.waiting(), 0U);
    EXPECT_EQ(admission.running(), let_in ? 0U : 1U);
  }
}

TEST(Admission, MayEndBeforeTheLoopOfAWaiter) {
  Loop loop("test");
  TaskGroup group(loop.executor());
  Admission admission({.max_concurrent = 0, .queue_limit = 5, .queue_timeout = 60s});
  auto wait = [](Admission* into) -> Task<void> { (void)co_await into->enter({}); };
  group.spawn(wait(&admission));
  loop.context().poll();
  EXPECT_EQ(admission.waiting(), 1U);
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
