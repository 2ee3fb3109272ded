#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "async/cancel.h"
#include "async/task.h"
#include "async/watch.h"
#include "base/error.h"
#include "inference/fair_queue.h"

namespace llm::inference {

struct AdmissionSettings {
  std::string subject = "the gateway";  // what is busy, in the words of the error
  std::size_t max_concurrent = 256;     // requests at work
  std::size_t queue_limit = 256;        // requests that wait for one of those to end
  std::size_t project_queue_limit = 0;  // of one project; 0: as queue_limit
  std::size_t batch_every = 8;          // while batch requests wait, one turn in so many is theirs
  std::chrono::milliseconds queue_timeout{60'000};
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

// Who asks for a place and what it will cost. The texts are read before enter() first suspends.
struct Claim {
  std::string_view project = "default";
  std::string_view key = "local";
  double project_weight = 1;
  double key_weight = 1;
  access::Priority priority = access::Priority::kInteractive;
  std::int64_t cost = 1;  // tokens: of the prompt, and the most that are asked for; see Ticket::settle()
  std::optional<std::chrono::steady_clock::time_point> deadline = {};  // for the wait; never later than queue_timeout
};

// How many requests are at work at once. Beyond that they wait, up to a limit and for a bounded time, so that overload
// is an early, clear answer instead of a slow death. Whose turn it is: FairQueue. When the queue is full, a request of
// a project that has less in it takes the place of the newest one of the project that has most. Any thread.
class Admission {
 public:
  explicit Admission(AdmissionSettings settings);
  ~Admission();
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  class Ticket {
   public:
    Ticket() = default;
    Ticket(Ticket&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)),
          account_(other.account_),
          priority_(other.priority_),
          cost_(other.cost_) {}
    Ticket& operator=(Ticket&& other) noexcept {
      if (this == &other) return *this;
      leave();
      owner_ = std::exchange(other.owner_, nullptr);
      account_ = other.account_;
      priority_ = other.priority_;
      cost_ = other.cost_;
      return *this;
    }
    ~Ticket() { leave(); }

    // What it cost in truth, for the turns of those who wait. The last call counts; without one the estimate does.
    void settle(std::int64_t true_cost);

   private:
    friend class Admission;
    Ticket(Admission& owner, FairQueue::Account& account, access::Priority priority, std::int64_t cost)
        : owner_(&owner), account_(&account), priority_(priority), cost_(cost) {}
    void leave() {
      if (owner_) std::exchange(owner_, nullptr)->leave(*account_);
    }

    Admission* owner_ = nullptr;
    FairQueue::Account* account_ = nullptr;
    access::Priority priority_ = access::Priority::kInteractive;
    std::int64_t cost_ = 1;
  };

  // kOverloaded when the queue is full, the wait took too long or another project needs the place, with retry_after (an
  // estimate from how fast places became free lately) and the details queue_position and queue_length; kCancelled.
  Task<Result<Ticket>> enter(Claim claim, CancelToken cancel);
  Task<Result<Ticket>> enter(CancelToken cancel);  // for the local user
  // At once or not at all: a place that nobody waits for.
  std::optional<Ticket> try_enter(const Claim& claim);
  void set_max_concurrent(std::size_t most);  // those at work beyond a smaller number stay
  std::size_t running() const;
  std::size_t waiting() const;

 private:
  using Clock = std::chrono::steady_clock;
  enum class State : std::uint8_t { kWaiting, kIn, kPushedOut };
  struct Waiter : FairQueue::Item {
    Admission* owner = nullptr;  // null once that is gone
    Watch<State> state{State::kWaiting};
    std::size_t position = 0;  // when it was pushed out
    std::shared_ptr<Waiter> self =
        {};  // while it is in the queue: the one who lets it in may outlive the one who waits
  };

  // Takes a waiter out if its coroutine is destroyed while it waits, with its loop.
  struct Waiting {
    std::shared_ptr<Waiter> waiter;
    ~Waiting() {
      if (waiter && waiter->owner) waiter->owner->abandon(*waiter);
    }
  };

  // The callers hold the lock.
  std::optional<Ticket> enter_now(const Claim& claim);
  Result<std::shared_ptr<Waiter>> join_queue(const Claim& claim);
  void take_out(Waiter& waiter, State state);
  void let_in();
  Error overloaded(std::string_view why, std::size_t position) const;
  int retry_after(std::size_t position) const;

  void leave(FairQueue::Account& account);
  void abandon(Waiter& waiter);
  AdmissionSettings settings_;
  mutable std::mutex mutex_;
  std::size_t running_ = 0;
  FairQueue queue_;
  // Departures while somebody waits: when the last was, and the seconds between two of them, smoothed.
  Clock::time_point last_departure_{};
  double departure_interval_ = 0;  // 0: none seen yet
};

}  // namespace llm::inference
