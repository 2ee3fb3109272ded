#include "router/router.h"

#include <gmock/gmock.h>

namespace llm::router {
namespace {

std::vector<RouteTarget> targets(std::initializer_list<std::pair<std::string, double>> list) {
  std::vector<RouteTarget> out;
  for (const auto& [model, weight] : list) out.push_back({.model = model, .weight = weight});
  return out;
}

TEST(StickyChoice, SharesFollowTheWeights) {
  const auto split = targets({{"v1", 95}, {"v2", 5}});
  int canary = 0;
  for (int i = 0; i < 20'000; ++i) canary += sticky_choice(split, "caller" + std::to_string(i)) == 1 ? 1 : 0;
  // 1000 expected; the callers are always the same ones, so this is no matter of luck.
  EXPECT_NEAR(canary, 1000, 100);
}

TEST(StickyChoice, OnlyThoseMoveThatHaveTo) {
  const auto before = targets({{"v1", 95}, {"v2", 5}});
  const auto after = targets({{"v1", 90}, {"v2", 10}});
  int moved = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string caller = "caller" + std::to_string(i);
    const auto old = sticky_choice(before, caller);
    const auto now = sticky_choice(after, caller);
    moved += old != now ? 1 : 0;
    EXPECT_FALSE(old == 1 && now == 0) << "somebody left the version whose share grew";
  }
  EXPECT_NEAR(moved, 500, 100);
}

TEST(StickyChoice, AWeightOfZeroGetsNobody) {
  const auto split = targets({{"v1", 0}, {"v2", 1}});
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(sticky_choice(split, std::to_string(i)), 1U);
}

}  // namespace
}  // namespace llm::router
