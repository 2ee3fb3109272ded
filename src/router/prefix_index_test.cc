#include "router/prefix_index.h"

#include <gtest/gtest.h>
#include <numeric>
#include <random>
#include <vector>

namespace llm::router {
namespace {

using Prompt = std::vector<std::uint64_t>;
constexpr std::uint64_t kAll = ~std::uint64_t{0};

// Hashes as prompt_blocks() makes them: each follows from all before it.
Prompt prompt(std::uint64_t seed, std::size_t blocks, const Prompt& before = {}) {
  Prompt out = before;
  std::mt19937_64 random(seed);
  while (out.size() < before.size() + blocks) out.push_back(random());
  return out;
}

std::int64_t held(const PrefixIndex& index) {
  std::int64_t sum = 0;
  for (unsigned i = 0; i < PrefixIndex::kMostReplicas; ++i) sum += index.held(i);
  return sum;
}

TEST(PrefixIndex, KnowsTheLongestBeginning) {
  PrefixIndex index(1024);
  const Prompt first = prompt(1, 10);
  EXPECT_EQ(index.longest(first, kAll).blocks, 0U);
  index.learn(first, 3, 0);
  for (std::size_t n = 1; n <= 10; ++n) {
    const auto match = index.longest(std::span(first).first(n), kAll);
    EXPECT_EQ(match.blocks, n);
    EXPECT_EQ(match.holders, 1U << 3U);
    EXPECT_EQ(match.ends, n < 10 ? 0U : 1U << 3U) << n;
  }
  const Prompt next = prompt(2, 5, first);
  const auto match = index.longest(next, kAll);
  EXPECT_EQ(match.blocks, 10U);
  EXPECT_EQ(match.ends, match.holders);
  index.learn(next, 3, match.blocks);
  EXPECT_EQ(index.longest(first, kAll).ends, 0U);
  EXPECT_EQ(index.longest(next, kAll).blocks, 15U);
  EXPECT_EQ(index.longest({}, kAll).blocks, 0U);
}

TEST(PrefixIndex, AsksOnlyThoseThatMayBeChosen) {
  PrefixIndex index(1024);
  const Prompt all = prompt(1, 20);
  index.learn(all, 0, 0);
  index.learn(std::span(all).first(5), 1, 0);
  EXPECT_EQ(index.longest(all, kAll).holders, 1U);
  const auto second = index.longest(all, 2);
  EXPECT_EQ(second.blocks, 5U);
  EXPECT_EQ(second.holders, 2U);
  const auto both = index.longest(std::span(all).first(5), kAll);
  EXPECT_EQ(both.holders, 3U);
  EXPECT_EQ(both.ends, 2U);
  EXPECT_EQ(index.longest(all, 4).blocks, 0U);
  index.forget(0);
  EXPECT_EQ(index.longest(all, kAll).holders, 2U);
  EXPECT_EQ(index.held(0), 0);
  EXPECT_EQ(index.held(1), 5);
}

TEST(PrefixIndex, IsBoundedAndForgetsTheOldest) {
  PrefixIndex index(1024);
  const Prompt kept = prompt(1, 8);
  index.learn(kept, 1, 0);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    index.learn(prompt(100 + i, 20), static_cast<unsigned>(i % 4), 0);
    const auto match = index.longest(kept, kAll);
    EXPECT_EQ(match.blocks, 8U) << i;  // it is used all the time
    index.learn(kept, 1, match.blocks);
    EXPECT_LE(held(index), 1024);
  }
  EXPECT_EQ(index.longest(prompt(100, 20), kAll).blocks, 0U);
  for (unsigned i = 0; i < 4; ++i) EXPECT_GE(index.held(i), 0);
  for (unsigned i = 0; i < 4; ++i) index.forget(i);
  EXPECT_EQ(held(index), 0);
}

TEST(PrefixIndex, ZeroIsAHashAsAnyOther) {
  PrefixIndex index(64);
  const Prompt zeros{0, 0};
  EXPECT_EQ(index.longest(zeros, kAll).blocks, 0U);
  index.learn(zeros, 5, 0);
  EXPECT_EQ(index.longest(zeros, kAll).blocks, 2U);
}

}  // namespace
}  // namespace llm::router
