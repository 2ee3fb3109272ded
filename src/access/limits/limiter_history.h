#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "access/limits/gcra.h"

// For the tests of this folder: what was granted when, and whether that was allowed.
namespace llm::access {

// What stayed of one request.
struct Grant {
  std::int64_t at = 0;
  std::size_t who = 0;
  std::int64_t requests = 0;
  std::int64_t input = 0;
  std::int64_t output = 0;
};

class History {
 public:
  // The time that the limiter decided by, on this thread.
  static std::int64_t& last_now() {
    thread_local std::int64_t now = 0;
    return now;
  }

  void add(const std::vector<Grant>& grants) {
    const std::lock_guard lock(mutex_);
    grants_.insert(grants_.end(), grants.begin(), grants.end());
  }
  std::size_t size() const { return grants_.size(); }
  std::int64_t sum(std::int64_t Grant::* kind, std::optional<std::size_t> who = {}) const {
    std::int64_t total = 0;
    for (const Grant& grant : grants_) {
      if (!who || grant.who == *who) total += grant.*kind;
    }
    return total;
  }

  // At most burst + count × d / window in every stretch d between two grants, reckoned in whole numbers.
  ::testing::AssertionResult keeps(const RateTerms& terms, std::int64_t Grant::* kind,
                                   std::optional<std::size_t> who = {}) const {
    std::vector<Grant> grants;
    for (const Grant& grant : grants_) {
      if ((!who || grant.who == *who) && grant.*kind > 0) grants.push_back(grant);
    }
    std::ranges::sort(grants, {}, &Grant::at);
    // A stretch from i to j is too full if cost(i..j) - (time_j - time_i) > cost(burst): the greatest such sum.
    Wide worst = 0;
    Wide filled = 0;
    for (std::size_t i = 0; i < grants.size(); ++i) {
      const Wide passed = i == 0 ? 0 : terms.ticks(grants[i].at - grants[i - 1].at);
      filled = std::max<Wide>(0, filled - passed) + terms.cost(grants[i].*kind);
      worst = std::max(worst, filled);
    }
    if (worst <= terms.cost(terms.burst)) return ::testing::AssertionSuccess() << grants.size() << " grants";
    return ::testing::AssertionFailure() << "a stretch has "
                                         << static_cast<double>(worst) / static_cast<double>(terms.window_ns)
                                         << " units more than its length allows, of " << terms.burst;
  }

 private:
  std::mutex mutex_;
  std::vector<Grant> grants_;
};

// A clock that goes on by a step whenever it is asked, and notes what it said.
class SteppingClock {
 public:
  std::int64_t step = 0;
  std::function<std::int64_t()> ns() {
    return [this] { return History::last_now() = now_.fetch_add(step) + step; };
  }

 private:
  std::atomic<std::int64_t> now_{1'794'744'000'000'000'000};
};

}  // namespace llm::access
