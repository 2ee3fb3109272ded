#pragma once

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "async/cancel.h"
#include "async/task.h"

namespace llm {

// The latest value of something and a way to wait until it changes, across loops and threads: engine states, job
// progress. Values are copied out; use a shared_ptr<const X> for big ones. Everything is thread-safe but the
// CancelToken, which belongs to the waiting coroutine's loop.
template <class T>
class Watch {
 public:
  struct Versioned {
    T value;
    std::uint64_t version = 0;
  };

  explicit Watch(T initial = {}) : value_(std::move(initial)) {}
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  Versioned get() const {
    const std::lock_guard lock(mutex_);
    return {value_, version_};
  }

  void set(T value) {
    update([&](T& current) { current = std::move(value); });
  }

  template <class F>
  void update(F change) {
    std::vector<std::shared_ptr<Waiter>> waiters;
    {
      const std::lock_guard lock(mutex_);
      change(value_);
      ++version_;
      waiters.swap(waiters_);
    }
    for (auto& waiter : waiters) wake(std::move(waiter));
  }

  // True once the version exceeds `seen`; false when cancelled or when `timeout` passed first.
  Task<bool> changed(std::uint64_t seen, CancelToken cancel, std::optional<std::chrono::milliseconds> timeout) {
    const auto executor = co_await boost::asio::this_coro::executor;
    auto waiter = std::make_shared<Waiter>(executor);
    constexpr std::chrono::milliseconds kForever = std::chrono::hours(24 * 3650);  // adding more could overflow
    waiter->timer.expires_after(std::min(timeout.value_or(kForever), kForever));
    {
      const std::lock_guard lock(mutex_);
      if (version_ > seen) co_return true;
      waiters_.push_back(waiter);
    }
    {
      const auto registration = cancel.on_cancel([waiter] { wake(waiter); });
      if (!cancel.cancelled()) co_await waiter->timer.async_wait(use_tuple);
    }
    const std::lock_guard lock(mutex_);
    std::erase(waiters_, waiter);
    co_return version_ > seen;
  }

 private:
  using Timer = boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                                  boost::asio::wait_traits<std::chrono::steady_clock>, Executor>;
  struct Waiter {
    explicit Waiter(Executor loop) : executor(loop), timer(loop) {}
    Executor executor;
    Timer timer;
  };
  static void wake(std::shared_ptr<Waiter> waiter) {
    const auto executor = waiter->executor;
    boost::asio::post(executor, [waiter = std::move(waiter)] { waiter->timer.cancel(); });
  }

  mutable std::mutex mutex_;
  T value_;
  std::uint64_t version_ = 1;
  std::vector<std::shared_ptr<Waiter>> waiters_;  // shared: a waker may hold one while its coroutine leaves
};

}  // namespace llm
