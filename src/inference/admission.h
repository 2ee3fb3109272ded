#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "async/cancel.h"
#include "async/task.h"
#include "async/watch.h"
#include "base/error.h"

namespace llm::inference {

struct AdmissionSettings {
  std::string subject = "the gateway";  // what is busy, in the words of the error
  std::size_t max_concurrent = 256;     // requests at work
  std::size_t queue_limit = 256;        // requests that wait for one of those to end; one more gets a 503
  std::chrono::milliseconds queue_timeout{60'000};
};

// How many requests are at work at once. Beyond that they wait in order of arrival, up to a limit and for a bounded
// time, so that overload is an early, clear answer instead of a slow death. Any thread.
class Admission {
 public:
  explicit Admission(AdmissionSettings settings) : settings_(std::move(settings)) {}

  class Ticket {
   public:
    Ticket() = default;
    explicit Ticket(Admission& owner) : owner_(&owner) {}
    Ticket(Ticket&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
    Ticket& operator=(Ticket&& other) noexcept {
      if (owner_) owner_->leave();
      owner_ = std::exchange(other.owner_, nullptr);
      return *this;
    }
    ~Ticket() {
      if (owner_) owner_->leave();
    }

   private:
    Admission* owner_ = nullptr;
  };

  // kOverloaded with retry_after when the queue is full or the wait took too long; kCancelled.
  Task<Result<Ticket>> enter(CancelToken cancel);
  void set_max_concurrent(std::size_t most);  // those at work beyond a smaller number stay
  std::size_t running() const;
  std::size_t waiting() const;

 private:
  using Waiter = std::shared_ptr<Watch<bool>>;  // shared: the one who waits and the one who lets it in
  void leave();
  void let_in();  // the caller holds the lock
  Error overloaded(std::string_view why) const;

  AdmissionSettings settings_;
  mutable std::mutex mutex_;
  std::size_t running_ = 0;
  std::deque<Waiter> queue_;
};

}  // namespace llm::inference
