#include "async/loop.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <pthread.h>

namespace llm {

Loop::Loop(std::string name) : name_(std::move(name)), context_(1), guard_(context_.get_executor()), wheel_(context_) {}

Loop::~Loop() {
  stop();
  join();
}

void Loop::start() {
  thread_ = std::thread([this] {
#ifdef __linux__
    // Only threads of our own: the name of the main thread is the name of the process.
    pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
#endif
    run();
  });
}

void Loop::run() {
  running_ = std::this_thread::get_id();
  context_.run();
  running_ = std::thread::id();
}

void Loop::stop() {
  context_.stop();
}

void Loop::join() {
  if (thread_.joinable()) thread_.join();
}

bool Loop::is_current() const {
  return running_.load() == std::this_thread::get_id();
}

void Loop::post(std::function<void()> work) {
  boost::asio::post(context_, std::move(work));
}

Task<bool> sleep_for(std::chrono::milliseconds duration) {
  boost::asio::basic_waitable_timer<std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>,
                                    Executor>
      timer(co_await boost::asio::this_coro::executor, duration);
  auto result = co_await timer.async_wait(use_tuple);
  co_return !std::get<0>(result);
}

}  // namespace llm
