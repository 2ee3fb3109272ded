#include <atomic>
#include <chrono>
#include <gtest/gtest.h>
#include <limits>
#include <thread>

#include "store/store_fixture.h"
#include "store/usage_tables.h"

namespace llm::store {
namespace {

constexpr std::int64_t kHour = 3'600'000'000'000;  // so long that nothing comes back during a test

class LeaseTables : public StoreTest {
 protected:
  RateLease rate(std::int64_t wanted, std::int64_t interval, std::int64_t burst) {
    return write([&](Session& s) { return lease_rate(s, "rate", wanted, interval, burst); });
  }
  std::int64_t quota(std::int64_t wanted, std::int64_t most, std::int64_t period = 1) {
    return write([&](Session& s) { return lease_quota(s, "quota", period, wanted, most); });
  }
  std::int64_t slots(const std::string& gateway, std::int64_t wanted, std::int64_t most,
                     std::int64_t dead_after_ms = 3'600'000) {
    return write([&](Session& s) { return lease_slots(s, "slots", gateway, wanted, most, dead_after_ms); });
  }
  std::int64_t held(const std::string& gateway) {
    std::int64_t sum = 0;
    for (const auto& limit : read([&](Session& s) { return held_slots(s, gateway); })) sum += limit.slots;
    return sum;
  }

  // Many threads over two connections to the database, each until `work` says false.
  template <class Work>
  void hammer(Work work) {
    auto other = open();
    std::vector<std::jthread> threads;
    for (int i = 0; i < 12; ++i) {
      threads.emplace_back([&, i] {
        while (work(i % 2 == 0 ? *database_ : *other, i)) {
        }
      });
    }
  }
};
STORE_ON_BOTH(LeaseTables);

TEST_P(LeaseTables, ARateGivesItsBurstAndThenSaysHowLongToWait) {
  const RateLease first = rate(3, kHour, 10 * kHour);
  EXPECT_EQ(first.units, 3);
  EXPECT_EQ(first.left, 7);
  const RateLease second = rate(30, kHour, 10 * kHour);
  EXPECT_EQ(second.units, 7);
  EXPECT_EQ(second.left, 0);
  const RateLease none = rate(1, kHour, 10 * kHour);
  EXPECT_EQ(none.units, 0);
  EXPECT_EQ(none.left, 0);
  EXPECT_GT(none.wait_ns, 0);
  EXPECT_LE(none.wait_ns, kHour);
}

TEST_P(LeaseTables, UnitsOfARateComeBackOnceAndNeverMakeMoreThanABurst) {
  const auto give_back = [&](std::int64_t units, std::int64_t mark) {
    write([&](Session& s) { return return_rate(s, "rate", units, kHour, mark); });
  };
  const RateLease lease = rate(10, kHour, 10 * kHour);
  give_back(2, lease.mark_ns);
  EXPECT_EQ(rate(0, kHour, 10 * kHour).units, 0);
  EXPECT_EQ(rate(-5, kHour, 10 * kHour).units, 0);
  const RateLease again = rate(5, kHour, 10 * kHour);
  EXPECT_EQ(again.units, 2);
  give_back(std::numeric_limits<std::int64_t>::max(), again.mark_ns);
  give_back(1'000'000, again.mark_ns);
  give_back(1'000'000, lease.mark_ns);
  write([](Session& s) { return return_rate(s, "unknown", 5, kHour, 5); });
  EXPECT_EQ(rate(1000, kHour, 10 * kHour).units, 10);
  EXPECT_EQ(rate(1, kHour, 10 * kHour).units, 0);
  // What had come back by itself does not come back twice: as of a lease whose time is over.
  give_back(10, 1);
  EXPECT_EQ(rate(1, kHour, 10 * kHour).units, 0);
}

TEST_P(LeaseTables, ARateRefusesNonsense) {
  const auto refused = [&](std::int64_t interval, std::int64_t burst) {
    auto done = database_->write([&](Session& s) { return lease_rate(s, "rate", 1, interval, burst); });
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::kInvalidArgument);
  };
  refused(0, 10);
  refused(-1, 10);
  refused(10, 9);
  EXPECT_EQ(rate(1, 10, 10).units, 1);
}

TEST_P(LeaseTables, ARateIsNeverGrantedTwice) {
  std::atomic<std::int64_t> granted = 0;
  hammer([&](Database& database, int thread) {
    auto lease = database.write([&](Session& s) { return lease_rate(s, "rate", 1 + thread % 3, kHour, 200 * kHour); });
    EXPECT_TRUE(lease) << lease.error().message;
    if (!lease) return false;
    granted += lease->units;
    return lease->units > 0;
  });
  EXPECT_EQ(granted, 200);
}

TEST_P(LeaseTables, ARateThatRefillsGivesNoMoreThanItsBurstAndWhatTimeBrought) {
  constexpr std::int64_t kInterval = 1'000'000;  // one for each millisecond
  constexpr std::int64_t kBurst = 20;
  const auto begin = std::chrono::steady_clock::now();
  std::atomic<std::int64_t> granted = 0;
  std::atomic<int> calls = 0;
  hammer([&](Database& database, int) {
    auto lease = database.write([&](Session& s) { return lease_rate(s, "rate", 5, kInterval, kBurst * kInterval); });
    EXPECT_TRUE(lease) << lease.error().message;
    granted += lease ? lease->units : 0;
    return ++calls < 600;
  });
  const auto passed = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(granted, kBurst);
  EXPECT_LE(granted, kBurst + std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count() / kInterval + 1);
}

TEST_P(LeaseTables, AQuotaGivesWhatItHasAndTakesBack) {
  EXPECT_EQ(quota(3, 10), 3);
  EXPECT_EQ(quota(30, 10), 7);
  EXPECT_EQ(quota(1, 10), 0);
  EXPECT_EQ(quota(1, 10, 2), 1);  // the next period
  write([](Session& s) { return return_quota(s, "quota", 1, 4); });
  EXPECT_EQ(read([](Session& s) { return leased_quota(s, "quota", 1); }), 6);
  EXPECT_EQ(quota(9, 5), 0);  // lowered below what is out already
  EXPECT_EQ(quota(9, 10), 4);
  write([](Session& s) { return return_quota(s, "quota", 1, 1'000'000); });
  EXPECT_EQ(read([](Session& s) { return leased_quota(s, "quota", 1); }), 0);
  write([](Session& s) { return return_quota(s, "quota", 9, 5); });
  EXPECT_EQ(read([](Session& s) { return leased_quota(s, "quota", 9); }), 0);
  EXPECT_EQ(quota(std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::max(), 3),
            std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(quota(1, std::numeric_limits<std::int64_t>::max(), 3), 0);
  EXPECT_EQ(quota(-3, 10), 0);
}

TEST_P(LeaseTables, AQuotaIsNeitherGrantedTwiceNorLost) {
  // Each takes slices and gives a part back; at the end all that is out is known.
  std::atomic<std::int64_t> out = 0;
  hammer([&](Database& database, int thread) {
    auto units = database.write([&](Session& s) { return lease_quota(s, "quota", 1, 3 + thread % 5, 300); });
    EXPECT_TRUE(units) << units.error().message;
    if (!units || *units == 0) return false;
    const std::int64_t now_out = out += *units;
    EXPECT_LE(now_out, 300);
    if (*units > 4) {
      --out;  // before the database is told: never more out than granted
      EXPECT_TRUE(database.write([&](Session& s) { return return_quota(s, "quota", 1, 1); }));
    }
    return true;
  });
  EXPECT_EQ(read([](Session& s) { return leased_quota(s, "quota", 1); }), out);
  EXPECT_LE(out, 300);
  EXPECT_EQ(quota(300, 300), 300 - out);
}

TEST_P(LeaseTables, SlotsAreSharedAmongGateways) {
  EXPECT_EQ(slots("a", 3, 5), 3);
  EXPECT_EQ(slots("b", 3, 5), 2);
  EXPECT_EQ(slots("b", 1, 5), 0);
  EXPECT_EQ(held("a"), 3);
  EXPECT_EQ(held("b"), 2);
  write([](Session& s) { return return_slots(s, "slots", "a", 2); });
  EXPECT_EQ(slots("b", 9, 5), 2);
  EXPECT_EQ(held("b"), 4);
  write([](Session& s) { return return_slots(s, "slots", "a", 100); });
  EXPECT_EQ(held("a"), 0);
  write([](Session& s) { return return_slots(s, "slots", "nobody", 1); });
  EXPECT_EQ(slots("a", 9, 5), 1);
}

TEST_P(LeaseTables, SlotsOfADeadGatewayAreFreeAgain) {
  EXPECT_EQ(slots("dead", 5, 5), 5);
  // All that beat before now + 1 h is dead, but the one that asks.
  EXPECT_EQ(slots("alive", 4, 5, -3'600'000), 4);
  EXPECT_EQ(held("dead"), 0);  // and that is what it learns if it was only asleep
  EXPECT_EQ(slots("alive", 4, 5, 3'600'000), 1);
  write([](Session& s) { return beat(s, "dead"); });
  EXPECT_EQ(slots("dead", 1, 5), 0);
  write([](Session& s) { return forget_shared_limits(s, std::int64_t{1} << 42); });  // in the year 2109
  EXPECT_EQ(held("alive"), 0);
}

TEST_P(LeaseTables, SlotsAreNeverGrantedTwice) {
  std::atomic<std::int64_t> in_use = 0;
  std::atomic<int> rounds = 0;
  hammer([&](Database& database, int thread) {
    const std::string gateway = "gateway" + std::to_string(thread % 3);
    auto granted = database.write([&](Session& s) { return lease_slots(s, "slots", gateway, 2, 7, 3'600'000); });
    EXPECT_TRUE(granted) << granted.error().message;
    if (granted && *granted > 0) {
      EXPECT_LE(in_use += *granted, 7);
      in_use -= *granted;
      EXPECT_TRUE(database.write([&](Session& s) { return return_slots(s, "slots", gateway, *granted); }));
    }
    return ++rounds < 240;
  });
  EXPECT_EQ(held("gateway0") + held("gateway1") + held("gateway2"), 0);
  EXPECT_EQ(slots("x", 100, 7), 7);
}

TEST_P(LeaseTables, ForgetsWhatNobodyTouched) {
  EXPECT_EQ(rate(1, 1, 1).units, 1);
  EXPECT_EQ(quota(4, 10), 4);
  write([](Session& s) { return forget_shared_limits(s, 1000); });  // 1970
  EXPECT_EQ(read([](Session& s) { return leased_quota(s, "quota", 1); }), 4);
  write([](Session& s) { return forget_shared_limits(s, std::int64_t{1} << 42); });
  EXPECT_EQ(read([](Session& s) { return leased_quota(s, "quota", 1); }), 0);
}

}  // namespace
}  // namespace llm::store
