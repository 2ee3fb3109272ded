#include "engines/memory_eviction.h"

#include <gmock/gmock.h>
#include <map>

namespace llm::engines {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::chrono::steady_clock::time_point at(int seconds) {
  return std::chrono::steady_clock::time_point(std::chrono::seconds(seconds));
}

const std::map<std::string, int, std::less<>> kSizes{{"old", 1}, {"middle", 4}, {"new", 10}, {"other", 3}};

std::function<bool(std::span<const std::string>)> needs(int bytes) {
  return [bytes](std::span<const std::string> gone) {
    int sum = 0;
    for (const auto& key : gone) sum += kSizes.find(key)->second;
    return sum >= bytes;
  };
}

TEST(Eviction, TheLongestUnusedFirstAndNoMoreThanNeeded) {
  const std::vector<Evictable> all{
      {.key = "new", .last_used = at(3)}, {.key = "old", .last_used = at(1)}, {.key = "middle", .last_used = at(2)}};
  EXPECT_THAT(*choose_victims(all, {}, needs(0)), IsEmpty());
  EXPECT_THAT(*choose_victims(all, {}, needs(1)), ElementsAre("old"));
  EXPECT_THAT(*choose_victims(all, {}, needs(4)), ElementsAre("middle"));  // "old" alone would be unloaded in vain
  EXPECT_THAT(*choose_victims(all, {}, needs(5)), ElementsAre("old", "middle"));
  EXPECT_THAT(*choose_victims(all, {}, needs(10)), ElementsAre("new"));
  EXPECT_THAT(*choose_victims(all, {}, needs(15)), ElementsAre("old", "middle", "new"));
  EXPECT_FALSE(choose_victims(all, {}, needs(16)));
  const std::vector<std::string> going{"other"};
  EXPECT_THAT(*choose_victims(all, going, needs(3)), IsEmpty());
  EXPECT_THAT(*choose_victims(all, going, needs(4)), ElementsAre("old"));
}

TEST(Eviction, PriorityBeforeAgeAndIdleBeforeBusy) {
  const std::vector<Evictable> all{{.key = "old", .priority = 5, .last_used = at(1)},
                                   {.key = "middle", .priority = -1, .last_used = at(9)},
                                   {.key = "other", .busy = true, .last_used = at(1)},
                                   {.key = "new", .last_used = at(5)}};
  EXPECT_THAT(*choose_victims(all, {}, needs(1)), ElementsAre("middle"));
  EXPECT_THAT(*choose_victims(all, {}, needs(14)), ElementsAre("middle", "new"));
  EXPECT_THAT(*choose_victims(all, {}, needs(17)), ElementsAre("middle", "new", "other"));
  EXPECT_THAT(*choose_victims(all, {}, needs(18)), ElementsAre("middle", "new", "other", "old"));
}

}  // namespace
}  // namespace llm::engines
