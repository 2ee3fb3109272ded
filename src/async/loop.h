#pragma once

#include <atomic>
#include <boost/asio/post.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "async/task.h"
#include "async/timer_wheel.h"

namespace llm {

// One thread, one io_context. What is created on a loop lives and dies there. `post` is the only member other threads
// may call (and `executor()` to build completion handlers).
class Loop {
 public:
  explicit Loop(std::string name);
  ~Loop();  // stops and joins
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void start();             // runs in a thread of its own until stop()
  void run();               // runs in the calling thread until stop()
  void stop();              // any thread; idempotent
  void join();              // any other thread
  bool is_current() const;  // is the caller this loop's thread?

  boost::asio::io_context& context() { return context_; }
  Executor executor() { return context_.get_executor(); }
  TimerWheel& wheel() { return wheel_; }
  void post(std::function<void()> work);  // any thread

 private:
  std::string name_;
  boost::asio::io_context context_;
  boost::asio::executor_work_guard<Executor> guard_;
  TimerWheel wheel_;
  std::thread thread_;
  std::atomic<std::thread::id> running_;
};

// Lets everything go first that is ready on the loop. What answers a batch of arrivals is then sent in one go, and a
// peer that sleeps is woken once instead of once for each, which costs more than the sending.
inline Task<void> after_what_is_ready(Executor executor) {
  return boost::asio::post(executor, use_task);
}

// Waits on the calling coroutine's loop. False when cancelled first.
Task<bool> sleep_for(std::chrono::milliseconds duration);

}  // namespace llm
