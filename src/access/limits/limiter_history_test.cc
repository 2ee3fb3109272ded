// Many threads on one limiter, with random cancels. Afterwards the history of what was granted is checked: in every
// stretch of time no limit granted more than it promised, and nothing that was given back is lost.
#include "access/limits/limiter_history.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <thread>
#include <vector>

#include "access/limits/gcra.h"
#include "access/limits/limiter_fixture.h"

namespace llm::access {
namespace {

constexpr int kThreads = 4;
constexpr int kRequests = 4'000;  // of each thread

struct Caller {
  Limiter& limiter;
  const std::vector<Principal>& principals;
  int concurrent;
  std::vector<std::atomic<int>>& running;  // by principal
  History& history;

  void run(unsigned seed) {
    std::mt19937 random(seed);
    const auto upto = [&](int most) { return static_cast<std::int64_t>(random() % static_cast<unsigned>(most + 1)); };
    struct Open {
      Reservation reservation;
      Grant grant;
    };
    std::vector<Open> open;
    std::vector<Grant> mine;
    const auto end_one = [&](std::size_t at) {
      Open one = std::move(open[at]);
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(at));
      --running[one.grant.who];
      const auto fate = upto(3);
      if (fate == 0) {  // cancelled before work began
        one.grant.requests = one.grant.input = one.grant.output = 0;
        one.reservation = Reservation();
      } else if (fate == 1) {  // cancelled later
        one.grant.input = one.grant.output = 0;
        one.reservation.keep_request();
        one.reservation = Reservation();
      } else {
        one.grant.input = upto(static_cast<int>(one.grant.input));
        one.grant.output = upto(static_cast<int>(one.grant.output));
        one.reservation.settle(one.grant.input, one.grant.output);
      }
      if (one.grant.requests > 0) mine.push_back(one.grant);
    };
    for (int i = 0; i < kRequests; ++i) {
      const auto who = static_cast<std::size_t>(upto(static_cast<int>(principals.size()) - 1));
      const Demand demand{.requests = 1, .input_tokens = upto(50), .output_tokens = upto(80)};
      auto done = limiter.try_reserve(principals[who], "m", demand, nullptr);
      ASSERT_TRUE(done);
      if (*done) {
        EXPECT_LE(++running[who], concurrent) << "at once";
        open.push_back({std::move(**done),
                        {.at = History::last_now(),
                         .who = who,
                         .requests = 1,
                         .input = demand.input_tokens,
                         .output = demand.output_tokens}});
      } else {
        ++refused;
      }
      if (!open.empty() && (upto(2) > 0 || open.size() > 8)) {
        end_one(static_cast<std::size_t>(upto(static_cast<int>(open.size()) - 1)));
      }
    }
    while (!open.empty()) end_one(0);
    history.add(mine);
  }
  std::atomic<int>& refused;
};

class LimiterHistory : public ::testing::Test {
 protected:
  // Two keys of one project, all kinds of limits. `step_ns`: how far the clock goes each time that it is asked.
  void hammer(const LimitPolicy& key, const LimitPolicy& project, std::int64_t step_ns) {
    clock_.step = step_ns;
    principals_ = {key_of("a", key, project, "p"), key_of("b", key, project, "p")};
    std::vector<std::atomic<int>> running(2);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        Caller{limiter_, principals_, static_cast<int>(key.concurrent.value_or(1'000)), running, history_, refused_}
            .run(i);
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_GT(history_.size(), 10U) << "else the test shows nothing";
    EXPECT_GT(refused_.load(), 10);
  }
  LimitReport standing(const Principal& principal) {
    LimitReport report;
    (void)limiter_.try_reserve(principal, "m", {.requests = 0}, &report);
    return report;
  }

  SteppingClock clock_;
  Limiter limiter_{{}, nullptr, "g1", clock_.ns()};
  std::vector<Principal> principals_;
  History history_;
  std::atomic<int> refused_{0};
};

TEST_F(LimiterHistory, EveryStretchOfTimeKeepsThePromise) {
  const LimitPolicy key{.requests = per_minute(6'000, 40),
                        .input_tokens = per_minute(120'000, 500),
                        .output_tokens = per_minute(90'000, 800),
                        .concurrent = 7};
  const LimitPolicy project{.requests = per_minute(9'000, 50), .output_tokens = per_minute(120'000, 1'000)};
  hammer(key, project, 2'000'000);
  for (const std::size_t who : {0U, 1U}) {
    EXPECT_TRUE(history_.keeps(RateTerms::of(*key.requests), &Grant::requests, who));
    EXPECT_TRUE(history_.keeps(RateTerms::of(*key.input_tokens), &Grant::input, who));
    EXPECT_TRUE(history_.keeps(RateTerms::of(*key.output_tokens), &Grant::output, who));
  }
  EXPECT_TRUE(history_.keeps(RateTerms::of(*project.requests), &Grant::requests));
  EXPECT_TRUE(history_.keeps(RateTerms::of(*project.output_tokens), &Grant::output));
}

TEST_F(LimiterHistory, NothingIsLostAndNothingGrantedTwice) {
  const LimitPolicy key{.requests = per_minute(700),
                        .input_tokens = per_minute(60'000),
                        .output_tokens = per_minute(60'000),
                        .concurrent = 6,
                        .requests_per_day = 600,
                        .tokens_per_month = 40'000};
  const LimitPolicy project{.requests_per_month = 900, .tokens_per_day = 30'000};
  hammer(key, project, 0);
  std::int64_t project_requests = 0;
  std::int64_t project_tokens = 0;
  for (const std::size_t who : {0U, 1U}) {
    project_requests += history_.sum(&Grant::requests, who);
    project_tokens += history_.sum(&Grant::input, who) + history_.sum(&Grant::output, who);
  }
  EXPECT_LE(project_requests, 900);
  EXPECT_LE(project_tokens, 30'000);
  for (const std::size_t who : {0U, 1U}) {
    const std::int64_t requests = history_.sum(&Grant::requests, who);
    const std::int64_t input = history_.sum(&Grant::input, who);
    const std::int64_t output = history_.sum(&Grant::output, who);
    // With a clock that stands, what is left is what was never used.
    const LimitReport left = standing(principals_[who]);
    EXPECT_EQ(left.requests.remaining, std::min({700 - requests, 600 - requests, 900 - project_requests}));
    const std::int64_t quota = std::min(40'000 - input - output, 30'000 - project_tokens);
    EXPECT_EQ(left.input_tokens.remaining, std::min(60'000 - input, quota));
    EXPECT_EQ(left.output_tokens.remaining, std::min(60'000 - output, quota));
  }
}

}  // namespace
}  // namespace llm::access
