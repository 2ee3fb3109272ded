#pragma once

#include <array>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>

#include "async/task.h"

namespace llm {

// A deadline that is set and cleared far more often than it fires (idle, header and write time-outs). Not copied, not
// moved: the wheel links it in place.
class Deadline {
 public:
  Deadline() = default;
  explicit Deadline(std::function<void()> on_expiry) : on_expiry_(std::move(on_expiry)) {}
  ~Deadline() { clear(); }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  void clear();
  bool armed() const { return previous_ != nullptr; }

 private:
  friend class TimerWheel;
  std::function<void()> on_expiry_;
  Deadline* previous_ = nullptr;
  Deadline* next_ = nullptr;
  std::uint64_t tick_ = 0;
};

// One coarse timer per loop instead of one kernel-ordered timer per operation (3.7 µs each at Asio's price; here two
// pointer writes). Granularity `kTick`; a deadline fires at most one tick late, never early. Sleeps until the earliest
// deadline: armed ones cost no wake-ups, and while none is armed it does not run at all.
// Expiry callbacks run on the loop; one may arm, clear or destroy any deadline, its own too, but not the wheel.
class TimerWheel {
 public:
  static constexpr std::chrono::milliseconds kTick{50};

  explicit TimerWheel(boost::asio::io_context& context);
  ~TimerWheel();
  // Arms or re-arms. `after` below 0 counts as 0, above ten years as ten years.
  void arm(Deadline& deadline, std::chrono::milliseconds after);
  void arm_at(Deadline& deadline, std::chrono::steady_clock::time_point now, std::chrono::milliseconds after);
  // For tests and for the timer itself: fires what is due at `now`.
  void advance_to(std::chrono::steady_clock::time_point now);

 private:
  static constexpr std::chrono::milliseconds kLongest = std::chrono::hours(24 * 3650);
  static constexpr std::size_t kSlots = 1024;  // one turn is 51 s; later deadlines go round again
  void schedule(std::uint64_t tick);
  void reschedule();
  std::uint64_t tick_of(std::chrono::steady_clock::time_point time) const;

  boost::asio::basic_waitable_timer<std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>,
                                    Executor>
      timer_;
  std::array<Deadline, kSlots> slots_;  // list heads, circular
  std::chrono::steady_clock::time_point start_;
  std::uint64_t current_ = 0;
  bool scheduled_ = false;            // the timer runs
  std::uint64_t scheduled_tick_ = 0;  // until when; no deadline is due before
};

}  // namespace llm
