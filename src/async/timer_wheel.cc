#include "async/timer_wheel.h"

#include <algorithm>

namespace llm {

void Deadline::clear() {
  if (!previous_) return;
  previous_->next_ = next_;
  next_->previous_ = previous_;
  previous_ = next_ = nullptr;
}

TimerWheel::TimerWheel(boost::asio::io_context& context)
    : timer_(context.get_executor()), start_(std::chrono::steady_clock::now()) {
  for (auto& head : slots_) head.previous_ = head.next_ = &head;
}

TimerWheel::~TimerWheel() {
  for (auto& head : slots_) {
    while (head.next_ != &head) head.next_->clear();
    head.previous_ = head.next_ = nullptr;
  }
}

std::uint64_t TimerWheel::tick_of(std::chrono::steady_clock::time_point time) const {
  return time <= start_ ? 0 : static_cast<std::uint64_t>((time - start_) / kTick);
}

void TimerWheel::arm(Deadline& deadline, std::chrono::milliseconds after) {
  arm_at(deadline, std::chrono::steady_clock::now(), after);
}

void TimerWheel::arm_at(Deadline& deadline, std::chrono::steady_clock::time_point now,
                        std::chrono::milliseconds after) {
  deadline.clear();
  // While nothing is scheduled the wheel is empty, so skipping to the present skips nobody.
  if (!scheduled_) current_ = std::max(current_, tick_of(now));
  after = std::clamp(after, std::chrono::milliseconds(0), kLongest);
  deadline.tick_ = std::max(tick_of(now + after) + 1, current_ + 1);
  auto& head = slots_[deadline.tick_ % kSlots];
  deadline.previous_ = head.previous_;
  deadline.next_ = &head;
  head.previous_->next_ = &deadline;
  head.previous_ = &deadline;
  schedule(deadline.tick_);
}

void TimerWheel::advance_to(std::chrono::steady_clock::time_point now) {
  const std::uint64_t target = tick_of(now);
  if (target <= current_) return;
  Deadline due;  // due deadlines move here first: a callback may arm, clear or destroy any other
  due.previous_ = due.next_ = &due;
  const std::uint64_t first = target - current_ >= kSlots ? target - kSlots + 1 : current_ + 1;
  for (std::uint64_t tick = first; tick <= target; ++tick) {
    auto& head = slots_[tick % kSlots];
    for (Deadline* entry = head.next_; entry != &head;) {
      Deadline* const next = entry->next_;
      if (entry->tick_ <= target) {
        entry->clear();
        entry->previous_ = due.previous_;
        entry->next_ = &due;
        due.previous_->next_ = entry;
        due.previous_ = entry;
      }
      entry = next;
    }
  }
  current_ = target;
  while (due.next_ != &due) {
    Deadline* const entry = due.next_;
    entry->clear();
    const auto callback = entry->on_expiry_;  // a copy: the callback may destroy the deadline
    if (callback) callback();
  }
  due.previous_ = due.next_ = nullptr;
}

void TimerWheel::schedule(std::uint64_t tick) {
  if (scheduled_ && scheduled_tick_ <= tick) return;
  scheduled_ = true;
  scheduled_tick_ = tick;
  timer_.expires_at(start_ + static_cast<std::int64_t>(tick) * kTick);  // ends an earlier wait
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    // Still scheduled for the callbacks: what they arm must not move `current_` past deadlines that have not fired.
    advance_to(std::chrono::steady_clock::now());
    reschedule();
  });
}

// Looks ahead one turn of the wheel. Deadlines further away are looked for again when that is over.
void TimerWheel::reschedule() {
  scheduled_ = false;
  bool armed = false;
  for (std::uint64_t tick = current_ + 1; tick <= current_ + kSlots; ++tick) {
    const auto& head = slots_[tick % kSlots];
    for (const Deadline* entry = head.next_; entry != &head; entry = entry->next_) {
      if (entry->tick_ <= tick) return schedule(tick);
      armed = true;
    }
  }
  if (armed) schedule(current_ + kSlots);
}

}  // namespace llm
