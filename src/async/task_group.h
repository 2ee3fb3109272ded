#pragma once

#include <boost/asio/co_spawn.hpp>
#include <cstdlib>
#include <exception>
#include <memory>

#include "async/event.h"
#include "async/task.h"

namespace llm {

// Owns background coroutines of one loop: nothing runs detached. Stopping is two-phase: the owner tells its tasks to
// end (a CancelSource, a closed socket), then awaits `join()`. Must outlive nothing: tasks that still run when the
// group is destroyed keep only the group's own bookkeeping alive, and they end with their loop.
class TaskGroup {
 public:
  explicit TaskGroup(Executor executor) : state_(std::make_shared<State>(executor)) {}
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Runs `task` on the group's loop. An exception that leaves it is a bug and ends the process.
  void spawn(Task<void> task) {
    ++state_->running;
    boost::asio::co_spawn(state_->executor, std::move(task), [state = state_](std::exception_ptr error) {
      if (error) std::terminate();
      if (--state->running == 0) state->idle.notify();
    });
  }

  std::size_t size() const { return state_->running; }

  // Until no task runs. One joiner at a time.
  Task<void> join() {
    const auto state = state_;
    while (state->running > 0) co_await state->idle.wait();
  }

 private:
  struct State {
    explicit State(Executor loop) : executor(loop), idle(loop) {}
    Executor executor;
    Event idle;
    std::size_t running = 0;
  };
  std::shared_ptr<State> state_;  // shared with the completion handlers, which may run after the group is gone
};

}  // namespace llm
