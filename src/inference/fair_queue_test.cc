#include "inference/fair_queue.h"

#include <deque>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <random>

namespace llm::inference {
namespace {

using ::testing::ElementsAre;
using enum access::Priority;

// Items with names, and whose turn it is as a text: "aabab".
struct Line {
  explicit Line(std::size_t batch_every = 8) : queue(batch_every) {}
  struct Named : FairQueue::Item {
    char name = '?';
  };
  FairQueue::Item& push(char name, const FairQueue::Share& share, std::int64_t cost = 1,
                        access::Priority priority = kInteractive) {
    Named& item = items.emplace_back();
    item.account = &queue.hold(share);
    item.cost = cost;
    item.priority = priority;
    item.name = name;
    queue.push(item);
    return item;
  }
  void push(std::size_t times, char name, const FairQueue::Share& share, std::int64_t cost = 1,
            access::Priority priority = kInteractive) {
    for (std::size_t i = 0; i < times; ++i) push(name, share, cost, priority);
  }
  std::string turns(std::size_t most = 1'000'000) {
    std::string out;
    while (out.size() < most) {
      auto* item = queue.pop();
      if (!item) break;
      out += static_cast<Named*>(item)->name;
      queue.release(*item->account);
    }
    return out;
  }
  FairQueue queue;
  std::deque<Named> items;
};

FairQueue::Share share(std::string_view project, std::string_view key = "k", double project_weight = 1,
                       double key_weight = 1) {
  return {project, key, project_weight, key_weight};
}

TEST(FairQueue, OneKeyIsFirstInFirstOut) {
  Line line;
  for (const char name : std::string("abcdef")) line.push(name, share("p"), name % 3 + 1);
  EXPECT_EQ(line.turns(), "abcdef");
  EXPECT_EQ(line.queue.size(), 0U);
}

TEST(FairQueue, ProjectsTakeTurns) {
  Line line;
  line.push(4, 'a', share("A"));
  line.push(4, 'b', share("B"));
  EXPECT_EQ(line.turns(), "abababab");
}

TEST(FairQueue, OneRequestIsNotStuckBehindAThousand) {
  Line line;
  line.push(1000, 'a', share("A"), 50);
  EXPECT_EQ(line.turns(3), "aaa");
  line.push('b', share("B"), 50);
  const std::string rest = line.turns(3);
  EXPECT_LT(rest.find('b'), 2U) << rest;
}

TEST(FairQueue, WeightsAreShares) {
  Line line;
  line.push(9, 'a', share("A", "k", 3), 30);
  line.push(3, 'b', share("B", "k", 1), 30);
  EXPECT_EQ(line.turns(), "abaaabaaabaa");
}

TEST(FairQueue, TokensAreTheCost) {
  Line line;
  line.push(8, 'a', share("A"), 100);
  line.push(2, 'b', share("B"), 400);
  EXPECT_EQ(line.turns(), "abaaaabaaa");
}

TEST(FairQueue, KeysShareWhatTheirProjectHas) {
  Line line;
  line.push(6, 'a', share("A", "one"));
  line.push(6, 'b', share("A", "two"));
  line.push(12, 'c', share("C", "one"));
  EXPECT_EQ(line.turns(12), "acbcacbcacbc");  // two keys bring a project no more than one does
}

TEST(FairQueue, KeysHaveWeightsToo) {
  Line line;
  line.push(4, 'a', share("A", "one", 1, 1));
  line.push(8, 'b', share("A", "two", 1, 2));
  EXPECT_EQ(line.turns(), "abbabbabbabb");
}

TEST(FairQueue, NobodySavesUpTurns) {
  Line line;
  line.push(1, 'b', share("B"));
  line.push(100, 'a', share("A"));
  EXPECT_EQ(line.turns(51).find('b'), 0U);
  line.push(5, 'b', share("B"));  // B was away for fifty turns
  EXPECT_EQ(line.turns(6), "bababa");
}

TEST(FairQueue, NobodyIsPunishedForIdleCapacity) {
  Line line;
  auto& account = line.queue.hold(share("A"));
  for (int i = 0; i < 1000; ++i) line.queue.charge(account, kInteractive, 10);
  line.push(4, 'b', share("B"), 10);
  line.push(4, 'a', share("A"), 10);
  EXPECT_EQ(line.turns(), "bbababaa");  // A is behind by the one item that was served last, not by a thousand
  line.queue.release(account);
}

TEST(FairQueue, InteractiveGoesFirstButBatchIsNotStarved) {
  Line line(4);
  line.push(3, 'x', share("A"), 1, kBatch);
  line.push(12, 'i', share("A"));
  EXPECT_EQ(line.turns(), "iiixiiixiiixiii");
}

TEST(FairQueue, BatchEarnsNoTurnsBeforeItComes) {
  Line line(3);
  line.push(10, 'i', share("A"));
  EXPECT_EQ(line.turns(7), "iiiiiii");
  line.push(1, 'x', share("B"), 1, kBatch);
  EXPECT_EQ(line.turns(), "iixi");
}

TEST(FairQueue, BatchAloneGetsEveryTurn) {
  Line line;
  line.push(3, 'x', share("A"), 1, kBatch);
  line.push(3, 'y', share("B"), 1, kBatch);
  EXPECT_EQ(line.turns(), "xyxyxy");
}

// A asks for 1000 tokens each time and uses 100; B says 100 and uses 100. Once corrected, both have the same.
TEST(FairQueue, CorrectedCostsGiveTheTrueShares) {
  Line line;
  line.push(40, 'a', share("A"), 1000);
  line.push(40, 'b', share("B"), 100);
  std::string order;
  for (int i = 0; i < 40; ++i) {
    auto* item = line.queue.pop();
    const char name = static_cast<Line::Named*>(item)->name;
    order += name;
    if (name == 'a') line.queue.correct(*item->account, item->priority, 100 - 1000);
    line.queue.release(*item->account);
  }
  EXPECT_EQ(std::ranges::count(order, 'a'), 20) << order;
}

TEST(FairQueue, ACostThatWasTooLowIsPaidLater) {
  Line line;
  line.push(4, 'a', share("A"), 1);
  line.push(20, 'b', share("B"), 1);
  auto* first = line.queue.pop();
  EXPECT_EQ(static_cast<Line::Named*>(first)->name, 'a');
  line.queue.correct(*first->account, kInteractive, 9);
  line.queue.release(*first->account);
  EXPECT_EQ(line.turns(12), "bbbbbbbbbbab");
}

TEST(FairQueue, WhoLeavesIsSkipped) {
  Line line;
  line.push('a', share("A"));
  auto& leaving = line.push('b', share("B"));
  line.push('c', share("C"));
  line.queue.remove(leaving);
  line.queue.remove(leaving);  // harmless
  EXPECT_EQ(line.turns(), "ac");
}

TEST(FairQueue, NonsenseWeightsStopNothing) {
  Line line;
  line.push(2, 'a', share("A", "k", 0, -1));
  line.push(2, 'b', share("B", "k", std::numeric_limits<double>::quiet_NaN(), 0));
  line.push(2, 'c', share("C", "k", std::numeric_limits<double>::infinity(), 1));
  EXPECT_EQ(line.turns().size(), 6U);
}

TEST(FairQueue, ThePlaceIsTheTurnThatComes) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    Line line(2 + random() % 5);
    for (int i = 0; i < 30; ++i) {
      line.push('x',
                share(std::string(1, static_cast<char>('A' + random() % 4)),
                      std::string(1, static_cast<char>('k' + random() % 3)), 1 + random() % 3),
                1 + random() % 50, random() % 3 == 0 ? kBatch : kInteractive);
    }
    line.turns(random() % 10);
    std::map<const FairQueue::Item*, std::size_t> places;
    for (auto& item : line.items) {
      if (item.waiting) places[&item] = line.queue.position(item);
    }
    for (std::size_t turn = 1; const auto* item = line.queue.pop(); ++turn) EXPECT_EQ(places[item], turn);
  }
}

TEST(FairQueue, TheLargestProjectMakesRoom) {
  Line line;
  line.push(5, 'a', share("A", "one"));
  auto& newest = line.push('a', share("A", "one"));
  line.push(2, 'a', share("A", "two"));
  line.push(2, 'b', share("B"));
  EXPECT_EQ(line.queue.to_push_out(share("C"), kInteractive), &newest);
  EXPECT_EQ(line.queue.to_push_out(share("B"), kBatch), &newest);
  EXPECT_EQ(line.queue.to_push_out(share("A", "three"), kInteractive), nullptr);
}

TEST(FairQueue, NobodyIsPushedOutForAnEqual) {
  Line line;
  line.push(2, 'a', share("A"));
  line.push('b', share("B"));
  EXPECT_EQ(line.queue.to_push_out(share("B"), kInteractive), nullptr);
  EXPECT_NE(line.queue.to_push_out(share("C"), kInteractive), nullptr);
}

TEST(FairQueue, BatchMakesRoomFirst) {
  Line line;
  auto& batch = line.push('x', share("A"), 1, kBatch);
  line.push(3, 'a', share("A"));
  EXPECT_EQ(line.queue.to_push_out(share("B"), kInteractive), &batch);
  EXPECT_EQ(line.queue.to_push_out(share("A"), kInteractive), &batch);
  EXPECT_EQ(line.queue.to_push_out(share("A"), kBatch), nullptr);
}

TEST(FairQueue, IdleAccountsAreForgotten) {
  Line line;
  auto& kept = line.queue.hold(share("kept", "kept"));
  for (int i = 0; i < 100'000; ++i) {
    auto& account = line.queue.hold(share(fmt::format("p{}", i % 100), fmt::format("k{}", i)));
    line.queue.charge(account, kInteractive, 5);
    line.queue.release(account);
  }
  EXPECT_LE(line.queue.accounts(), 1025U);
  EXPECT_EQ(&line.queue.hold(share("kept", "kept")), &kept);
}

// Whatever comes and goes: nobody is lost, nobody is served twice, and over a busy time each gets its share within one
// item.
TEST(FairQueue, SharesHoldUnderRandomTraffic) {
  std::mt19937 random(42);
  for (int round = 0; round < 20; ++round) {
    Line line;
    const std::map<char, double> weights = {{'A', 1}, {'B', 2}, {'C', 5}};
    std::map<char, double> got;
    std::size_t pushed = 0;
    const auto fill = [&](char project) {
      line.push(
          project,
          share(std::string(1, project), std::string(1, static_cast<char>('k' + random() % 4)), weights.at(project)),
          static_cast<std::int64_t>(1 + random() % 100));
      ++pushed;
    };
    for (const auto& [project, weight] : weights) {
      for (int i = 0; i < 50; ++i) fill(project);
    }
    std::size_t served = 0;
    for (int turn = 0; turn < 4000; ++turn) {
      auto* item = line.queue.pop();
      ASSERT_NE(item, nullptr);
      const char project = static_cast<Line::Named*>(item)->name;
      got[project] += static_cast<double>(item->cost) / weights.at(project);
      line.queue.release(*item->account);
      ++served;
      fill(project);  // always something waiting
      const auto [low, high] = std::minmax({got['A'], got['B'], got['C']});
      ASSERT_LE(high - low, 200) << "round " << round << ", turn " << turn;
    }
    EXPECT_EQ(served + line.turns().size(), pushed);
  }
}

}  // namespace
}  // namespace llm::inference
