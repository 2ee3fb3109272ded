#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "async/loop.h"

namespace llm {

// For tests: runs `task` on `loop` in the calling thread until it ends; other work of the loop goes on meanwhile. A
// test that hangs ends the process with a message rather than never.
inline void run_task(Loop& loop, Task<void> task) {
  std::exception_ptr thrown;
  boost::asio::steady_timer watchdog(loop.context(), std::chrono::seconds(120));
  watchdog.async_wait([](const boost::system::error_code& error) {
    if (error) return;
    std::fprintf(stderr, "a test's coroutine hangs\n");
    std::abort();
  });
  boost::asio::co_spawn(loop.executor(), std::move(task), [&](std::exception_ptr error) {
    thrown = error;
    loop.stop();
  });
  loop.run();
  loop.context().restart();
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace llm
