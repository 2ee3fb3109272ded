#include "inference/admission.h"

#include <algorithm>
#include <fmt/format.h>

namespace llm::inference {

Error Admission::overloaded(std::string_view why) const {
  return {ErrorCode::kOverloaded,
          fmt::format("{} is busy: {} ({} requests at work, {} waiting). Try again soon", settings_.subject, why,
                      running_, queue_.size()),
          {},
          {},
          2};
}

Task<Result<Admission::Ticket>> Admission::enter(CancelToken cancel) {
  Waiter waiter;
  {
    const std::lock_guard lock(mutex_);
    if (running_ < settings_.max_concurrent) {
      ++running_;
      co_return Ticket(*this);
    }
    if (queue_.size() >= settings_.queue_limit) co_return fail(overloaded("the queue is full"));
    waiter = std::make_shared<Watch<bool>>(false);
    queue_.push_back(waiter);
  }
  const auto version = waiter->get().version;
  if (!waiter->get().value) co_await waiter->changed(version, cancel, settings_.queue_timeout);
  const std::lock_guard lock(mutex_);
  if (waiter->get().value) co_return Ticket(*this);  // its place was counted by the one who left
  std::erase(queue_, waiter);
  if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "cancelled while waiting in the queue");
  co_return fail(overloaded("the wait in the queue took too long"));
}

void Admission::leave() {
  const std::lock_guard lock(mutex_);
  --running_;
  let_in();
}

void Admission::let_in() {
  while (!queue_.empty() && running_ < settings_.max_concurrent) {
    const Waiter next = queue_.front();
    queue_.pop_front();
    ++running_;
    next->set(true);
  }
}

void Admission::set_max_concurrent(std::size_t most) {
  const std::lock_guard lock(mutex_);
  settings_.max_concurrent = most;
  let_in();
}

std::size_t Admission::running() const {
  const std::lock_guard lock(mutex_);
  return running_;
}

std::size_t Admission::waiting() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

}  // namespace llm::inference
