#include "base/random.h"

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace llm {
namespace {

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

TEST(Random, FillsTheWholeSpan) {
  std::array<unsigned char, 100'000> bytes{};
  random_bytes(bytes);
  std::set<unsigned char> seen(bytes.begin(), bytes.end());
  EXPECT_EQ(seen.size(), 256U);
  EXPECT_NE(std::ranges::count(bytes.end() - 64, bytes.end(), 0), 64) << "also at its end";
  random_bytes({});
}

TEST(Random, IdsHaveTheirForm) {
  for (const auto& id : {random_id("key_"), unique_id("key_")}) {
    EXPECT_TRUE(id.starts_with("key_"));
    EXPECT_EQ(id.size(), 36U);
    EXPECT_TRUE(is_hex(id.substr(4))) << id;
  }
  EXPECT_EQ(random_id().size(), 32U);
}

TEST(Random, IdsAreUniqueAcrossThreads) {
  constexpr std::size_t kEach = 20'000;
  std::vector<std::vector<std::string>> made(4);
  std::vector<std::thread> threads;
  for (auto& ids : made) {
    threads.emplace_back([&ids] {
      for (std::size_t i = 0; i < kEach; ++i) ids.push_back(i % 8 == 0 ? random_id() : unique_id());
    });
  }
  for (auto& thread : threads) thread.join();
  std::set<std::string> all;
  for (const auto& ids : made) all.insert(ids.begin(), ids.end());
  EXPECT_EQ(all.size(), made.size() * kEach);
}

TEST(Random, UniqueIdsSortByTime) {
  const auto first = unique_id();
  const auto prefix = [](const std::string& id) { return id.substr(0, 12); };  // 48 bits of milliseconds
  EXPECT_LE(prefix(first), prefix(unique_id()));
}

}  // namespace
}  // namespace llm
