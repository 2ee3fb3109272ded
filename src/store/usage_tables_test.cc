#include "store/usage_tables.h"

#include <atomic>
#include <gtest/gtest.h>
#include <thread>

#include "store/nasty_texts.h"
#include "store/store_fixture.h"

namespace llm::store {
namespace {

class UsageTables : public StoreTest {};
STORE_ON_BOTH(UsageTables);

UsageRow row(std::int64_t day, std::string project, std::string key, std::string model, std::int64_t times = 1) {
  return {day,       std::move(project), std::move(key), std::move(model), 1 * times,
          2 * times, 3 * times,          4 * times,      5 * times};
}

TEST_P(UsageTables, SumsByDayProjectKeyAndModelAndFilters) {
  write([](Session& s) -> Result<void> {
    EXPECT_TRUE(add_usage(s, "b1", {row(1, "p", "k", "m"), row(1, "p", "k", "m", 10), row(2, "p", "k", "m")}));
    return add_usage(s, "b2", {row(1, "q", "k2", "m2"), row(1, "p", "k", "m", 100)});
  });
  const auto all = read([](Session& s) { return usage(s, {.from_day = 0, .to_day = 9}); });
  EXPECT_EQ(all, (std::vector{row(1, "p", "k", "m", 111), row(1, "q", "k2", "m2"), row(2, "p", "k", "m")}));
  const auto count = [&](UsageQuery query) { return read([&](Session& s) { return usage(s, query); }).size(); };
  EXPECT_EQ(count({.from_day = 2, .to_day = 2}), 1U);
  EXPECT_EQ(count({.from_day = 1, .to_day = 1}), 2U);
  EXPECT_EQ(count({.from_day = 3, .to_day = 9}), 0U);
  EXPECT_EQ(count({.from_day = 0, .to_day = 9, .project = "p"}), 2U);
  EXPECT_EQ(count({.from_day = 0, .to_day = 9, .key = "k2"}), 1U);
  EXPECT_EQ(count({.from_day = 0, .to_day = 9, .model = "m2"}), 1U);
  EXPECT_EQ(count({.from_day = 0, .to_day = 9, .project = "p", .key = "k", .model = "m"}), 2U);
  EXPECT_EQ(count({.from_day = 0, .to_day = 9, .project = "p", .key = "k", .model = "m2"}), 0U);
}

TEST_P(UsageTables, ABatchCountsOnceHoweverOftenItIsSent) {
  auto other = open();
  std::vector<std::jthread> senders;
  for (int i = 0; i < 6; ++i) {
    senders.emplace_back([&, i] {
      for (int batch = 0; batch < 10; ++batch) {
        EXPECT_TRUE((i % 2 == 0 ? *database_ : *other).write([&](Session& s) {
          return add_usage(s, "b" + std::to_string(batch), {row(1, "p", "k2", "m"), row(1, "p", "k1", "m")});
        }));
      }
    });
  }
  senders.clear();
  const auto sums = read([](Session& s) { return usage(s, {.from_day = 1, .to_day = 1}); });
  EXPECT_EQ(sums, (std::vector{row(1, "p", "k1", "m", 10), row(1, "p", "k2", "m", 10)}));

  write([](Session& s) { return forget_usage_batches(s, 1); });  // they are younger
  write([](Session& s) { return add_usage(s, "b0", {row(1, "p", "k1", "m")}); });
  EXPECT_EQ(read([](Session& s) { return usage(s, {.from_day = 1, .to_day = 1}); }), sums);
  write([](Session& s) { return forget_usage_batches(s, std::int64_t{1} << 60); });
  write([](Session& s) { return add_usage(s, "b0", {row(1, "p", "k1", "m")}); });
  EXPECT_EQ(read([](Session& s) { return usage(s, {.from_day = 1, .to_day = 1}); })[0].requests, 11);
}

TEST_P(UsageTables, TextsAreDataWhateverTheyHold) {
  int number = 0;
  for (const std::string& nasty : kNastyTexts) {
    if (nasty.size() > 500) continue;  // more than an index takes; see below
    const std::string name = nasty + std::to_string(++number);
    write([&](Session& s) -> Result<void> {
      if (auto done = add_usage(s, name, {row(number, name, name, name)}); !done) return done;
      if (auto done = beat(s, name); !done) return done;
      EXPECT_EQ(lease_rate(s, name, 1, 1'000'000'000, 1'000'000'000)->units, 1);
      EXPECT_EQ(*lease_quota(s, name, number, 2, 5), 2);
      EXPECT_EQ(*lease_slots(s, name, name, 2, 5, 1000), 2);
      return return_slots(s, name, name, 1);
    });
    const auto found = read([&](Session& s) {
      return usage(s, {.from_day = 0, .to_day = 9999, .project = name, .key = name, .model = name});
    });
    EXPECT_EQ(found, std::vector{row(number, name, name, name)});
    EXPECT_EQ(read([&](Session& s) { return leased_quota(s, name, number); }), 2);
    const auto held = read([&](Session& s) { return held_slots(s, name); });
    ASSERT_EQ(held.size(), 1U);
    EXPECT_EQ(held[0].limit, name);
    EXPECT_EQ(held[0].slots, 1);
  }
  for (const std::string& bad : kUnstorableTexts) {
    const auto refused = [&](auto work) {
      auto done = database_->write(work);
      ASSERT_FALSE(done);
      EXPECT_EQ(done.error().code, ErrorCode::kInvalidArgument);
    };
    refused([&](Session& s) { return add_usage(s, bad, {}); });
    refused([&](Session& s) { return add_usage(s, "b", {row(1, "p", "k", bad)}); });
    refused([&](Session& s) { return lease_rate(s, bad, 1, 1, 1); });
    refused([&](Session& s) { return lease_quota(s, bad, 1, 1, 1); });
    refused([&](Session& s) { return lease_slots(s, "l", bad, 1, 1, 1); });
    refused([&](Session& s) { return lease_slots(s, bad, "g", 1, 1, 1); });
    refused([&](Session& s) { return beat(s, bad); });
  }
}

}  // namespace
}  // namespace llm::store
