// The rate algorithm against a reckoning by hand of all windows, and against itself without what was given back.
#include "access/limits/gcra.h"

#include <gtest/gtest.h>
#include <optional>
#include <random>
#include <vector>

namespace llm::access {
namespace {

constexpr std::int64_t kStart = 1'700'000'000'000'000'000;

RateTerms terms_of(std::int64_t count, std::int64_t window_ms, std::optional<std::int64_t> burst = {}) {
  return RateTerms::of({count, json::Duration{window_ms}, burst});
}

struct Grant {
  std::int64_t at = 0;
  std::int64_t units = 0;
};

// burst + count × d / window over every stretch, in whole numbers. Grants in order of time.
::testing::AssertionResult keeps_promise(const std::vector<Grant>& grants, const RateTerms& terms) {
  for (std::size_t from = 0; from < grants.size(); ++from) {
    Wide sum = 0;
    for (std::size_t to = from; to < grants.size(); ++to) {
      sum += grants[to].units;
      const Wide allowed = terms.cost(terms.burst) + terms.ticks(grants[to].at - grants[from].at);
      if (sum * terms.window_ns > allowed) {
        return ::testing::AssertionFailure() << "grants " << from << " to " << to << " are too many";
      }
    }
  }
  return ::testing::AssertionSuccess();
}

TEST(Gcra, GrantsTheBurstAndThenAtTheRate) {
  Gcra gcra;
  gcra.adopt(terms_of(60, 60'000, 3), kStart);
  EXPECT_EQ(gcra.available(kStart), 3);
  EXPECT_TRUE(gcra.idle(kStart));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(gcra.fits(1, kStart));
    gcra.close(gcra.take(1, kStart), 0);
  }
  EXPECT_FALSE(gcra.fits(1, kStart));
  EXPECT_EQ(gcra.wait_ns(1, kStart), 1'000'000'000);
  EXPECT_FALSE(gcra.fits(1, kStart + 999'999'999));
  EXPECT_TRUE(gcra.fits(1, kStart + 1'000'000'000));
  EXPECT_EQ(gcra.whole_ns(kStart), 3'000'000'000);
  EXPECT_EQ(gcra.available(kStart + 2'500'000'000), 2);
  EXPECT_FALSE(gcra.fits(4, kStart + 1'000'000'000'000)) << "more than the burst never fits";
}

TEST(Gcra, RoundsNothing) {
  // 7 units in 3 s: one every 428,571,428.57… ns.
  Gcra gcra;
  gcra.adopt(terms_of(7, 3'000, 3), kStart);
  gcra.close(gcra.take(3, kStart), 0);
  EXPECT_EQ(gcra.wait_ns(3, kStart), 1'285'714'286);
  EXPECT_FALSE(gcra.fits(3, kStart + 1'285'714'285));
  EXPECT_TRUE(gcra.fits(3, kStart + 1'285'714'286));
}

TEST(Gcra, ReckonsWithTheGreatestNumbers) {
  Gcra gcra;
  gcra.adopt(terms_of(1'000'000'000'000'000, 31LL * 86'400'000), kStart);
  EXPECT_EQ(gcra.available(kStart), 1'000'000'000'000'000);
  gcra.close(gcra.take(1'000'000'000'000'000, kStart), 0);
  EXPECT_EQ(gcra.available(kStart), 0);
  EXPECT_EQ(gcra.whole_ns(kStart), 31LL * 86'400'000 * 1'000'000);
  gcra.charge(INT64_MAX, kStart);
  EXPECT_EQ(gcra.available(kStart), 0);
  EXPECT_EQ(gcra.wait_ns(1, kStart), INT64_MAX) << "told as the longest time there is";
}

TEST(Gcra, GivesBackWhatWasTaken) {
  Gcra gcra;
  gcra.adopt(terms_of(10, 60'000), kStart);
  const auto first = gcra.take(4, kStart);
  const auto second = gcra.take(6, kStart);
  EXPECT_FALSE(gcra.fits(1, kStart));
  gcra.close(first, 4);
  EXPECT_EQ(gcra.available(kStart), 4);
  gcra.close(second, 5);
  EXPECT_EQ(gcra.available(kStart), 9);
}

TEST(Gcra, GivesNothingBackThatCameBackByItself) {
  Gcra gcra;
  gcra.adopt(terms_of(10, 60'000), kStart);
  const auto slow = gcra.take(10, kStart);
  const std::int64_t minute = kStart + 60'000'000'000;
  gcra.close(gcra.take(10, minute), 0);  // all had come back
  gcra.close(slow, 10);
  EXPECT_FALSE(gcra.fits(1, minute)) << "else 20 would have been granted at once";
}

TEST(Gcra, LosesNothingUnderLoad) {
  // A limit that is always asked for more: what a slow request gives back after a long time is there for others.
  Gcra gcra;
  gcra.adopt(terms_of(10, 10'000), kStart);
  const auto slow = gcra.take(5, kStart);
  std::int64_t now = kStart;
  for (int second = 0; second < 100; ++second, now += 1'000'000'000) {
    while (gcra.fits(1, now)) gcra.close(gcra.take(1, now), 0);
  }
  now -= 1'000'000'000;
  EXPECT_FALSE(gcra.fits(1, now));
  gcra.close(slow, 5);
  EXPECT_EQ(gcra.available(now), 5);
}

TEST(Gcra, AChangeOfRateKeepsWhatIsUsed) {
  Gcra gcra;
  gcra.adopt(terms_of(10, 60'000), kStart);
  const auto open = gcra.take(3, kStart);
  gcra.close(gcra.take(5, kStart), 0);
  gcra.adopt(terms_of(100, 60'000), kStart);
  EXPECT_EQ(gcra.available(kStart), 92);
  gcra.close(open, 3);
  EXPECT_EQ(gcra.available(kStart), 95);
  gcra.adopt(terms_of(4, 60'000), kStart);
  EXPECT_EQ(gcra.available(kStart), 0);
  EXPECT_EQ(gcra.wait_ns(1, kStart), 30'000'000'000) << "five are used, of four";
}

TEST(Gcra, ADebtIsPaidFirst) {
  Gcra gcra;
  gcra.adopt(terms_of(10, 10'000), kStart);
  gcra.charge(25, kStart);
  EXPECT_EQ(gcra.available(kStart), 0);
  EXPECT_EQ(gcra.wait_ns(1, kStart), 16'000'000'000);
}

// Random arrivals, sizes, settlements. The grants that stayed keep the promise, and the state is always that of a limit
// which never saw what was given back.
TEST(Gcra, IsExactInAnyHistory) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937_64 random(seed);
    const auto upto = [&](std::int64_t most) { return static_cast<std::int64_t>(random() % (most + 1)); };
    const RateTerms terms = terms_of(1 + upto(20), 1'000 + upto(5'000), 1 + upto(30));
    Gcra gcra;
    gcra.adopt(terms, kStart);
    struct Open {
      std::uint64_t arrival;
      std::size_t grant;
    };
    std::vector<Grant> grants;
    std::vector<Open> open;
    std::int64_t now = kStart;
    for (int step = 0; step < 200; ++step) {
      // Pauses from none to several windows.
      if (upto(2) == 0) now += upto(3) == 0 ? upto(terms.window_ns * 2) : upto(terms.window_ns / terms.count);
      const std::int64_t units = upto(terms.burst);
      if (upto(1) == 0 && gcra.fits(units, now)) {
        open.push_back({gcra.take(units, now), grants.size()});
        grants.push_back({now, units});
      } else if (!open.empty()) {
        const auto chosen = open.begin() + upto(static_cast<std::int64_t>(open.size()) - 1);
        Grant& grant = grants[chosen->grant];
        const std::int64_t back = upto(grant.units);
        gcra.close(chosen->arrival, back);
        grant.units -= back;
        open.erase(chosen);
      }
      Wide tat = 0;
      for (const Grant& grant : grants) tat = std::max(tat, terms.ticks(grant.at)) + terms.cost(grant.units);
      const Wide room = terms.cost(terms.burst) - std::max<Wide>(0, tat - terms.ticks(now));
      ASSERT_EQ(gcra.available(now), room <= 0 ? 0 : static_cast<std::int64_t>(room / terms.window_ns)) << seed;
    }
    ASSERT_TRUE(keeps_promise(grants, terms)) << seed;
  }
}

}  // namespace
}  // namespace llm::access
