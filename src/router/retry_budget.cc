#include "router/retry_budget.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace llm::router {

RetryBudget::RetryBudget(double share, std::uint32_t always, Now now)
    : share_(share), always_(always), now_(std::move(now)) {}

RetryBudget::Slot& RetryBudget::slot(std::int64_t second) {
  Slot& found = slots_[static_cast<std::size_t>(second) % kSlots];
  if (found.second != second) found = {second, 0, 0};
  return found;
}

namespace {

std::int64_t second_of(RetryBudget::Clock::time_point at) {
  return std::chrono::duration_cast<std::chrono::seconds>(at.time_since_epoch()).count();
}

}  // namespace

void RetryBudget::request() {
  const std::int64_t second = second_of(now_());
  const std::lock_guard lock(mutex_);
  ++slot(second).requests;
}

bool RetryBudget::take() {
  const std::int64_t second = second_of(now_());
  const std::lock_guard lock(mutex_);
  std::uint32_t requests = 0;
  std::uint32_t retries = 0;
  for (const Slot& slot : slots_) {
    if (slot.second <= second - static_cast<std::int64_t>(kSlots) || slot.second > second) continue;
    requests += slot.requests;
    retries += slot.retries;
  }
  const auto allowed = std::max<double>(always_, std::floor(share_ * requests));
  if (retries >= allowed) return false;
  ++slot(second).retries;
  return true;
}

}  // namespace llm::router
