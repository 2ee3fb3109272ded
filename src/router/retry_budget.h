#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>

namespace llm::router {

// Retries as a share of requests, so that a failing engine is not asked twice as often. A sliding window of ten
// seconds; a few retries are allowed however few requests there are. Thread-safe.
class RetryBudget {
 public:
  using Clock = std::chrono::steady_clock;
  using Now = std::function<Clock::time_point()>;
  explicit RetryBudget(double share, std::uint32_t always = 3, Now now = Clock::now);
  void request();
  bool take();

 private:
  static constexpr std::size_t kSlots = 10;  // of a second each
  struct Slot {
    std::int64_t second = -1;
    std::uint32_t requests = 0;
    std::uint32_t retries = 0;
  };
  Slot& slot(std::int64_t second);

  const double share_;
  const std::uint32_t always_;
  const Now now_;
  std::mutex mutex_;
  Slot slots_[kSlots];
};

}  // namespace llm::router
