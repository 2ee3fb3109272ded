#include "router/retry_budget.h"

#include <gtest/gtest.h>

namespace llm::router {
namespace {

using namespace std::chrono_literals;

class RetryBudgetTest : public ::testing::Test {
 protected:
  RetryBudget make(double share, std::uint32_t always = 3) {
    return RetryBudget(share, always, [this] { return now_; });
  }
  static int take_all(RetryBudget& budget) {
    int taken = 0;
    while (budget.take()) ++taken;
    return taken;
  }

  RetryBudget::Clock::time_point now_{1h};
};

TEST_F(RetryBudgetTest, AFewAreAlwaysAllowed) {
  auto budget = make(0);
  EXPECT_EQ(take_all(budget), 3);
  budget.request();
  EXPECT_FALSE(budget.take());
}

TEST_F(RetryBudgetTest, AShareOfTheRequests) {
  auto budget = make(0.2);
  for (int i = 0; i < 100; ++i) budget.request();
  EXPECT_EQ(take_all(budget), 20);
  for (int i = 0; i < 5; ++i) budget.request();
  EXPECT_EQ(take_all(budget), 1);
}

TEST_F(RetryBudgetTest, TheWindowSlides) {
  auto budget = make(0.5, 0);
  for (int i = 0; i < 10; ++i) budget.request();
  EXPECT_EQ(take_all(budget), 5);
  now_ += 9s;
  for (int i = 0; i < 4; ++i) budget.request();
  EXPECT_EQ(take_all(budget), 2);
  now_ += 1s;  // the first ten requests and their retries are over
  EXPECT_FALSE(budget.take());
  for (int i = 0; i < 2; ++i) budget.request();
  EXPECT_EQ(take_all(budget), 1);
  now_ += 1min;
  EXPECT_FALSE(budget.take());
}

}  // namespace
}  // namespace llm::router
