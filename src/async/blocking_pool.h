#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <type_traits>
#include <utility>

#include "async/task.h"

namespace llm {

// Threads for what blocks: files, hashing, DNS, downloads. Nothing on a loop ever blocks instead.
class BlockingPool {
 public:
  explicit BlockingPool(std::size_t threads) : pool_(threads) {}
  ~BlockingPool() { pool_.join(); }  // waits for running work; owners cancel it first

  // Runs `work` (returning a value, never throwing) on the pool and resumes the caller on its own loop.
  template <class F>
  Task<std::invoke_result_t<F>> run(F work) {
    using R = std::invoke_result_t<F>;
    auto initiate = [this, &work](auto handler) {
      boost::asio::post(pool_, [work = std::move(work), handler = std::move(handler)]() mutable {
        R result = work();
        const auto executor = boost::asio::get_associated_executor(handler);
        boost::asio::post(executor, [handler = std::move(handler), result = std::move(result)]() mutable {
          std::move(handler)(boost::system::error_code(), std::move(result));
        });
      });
    };
    co_return co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<Executor>,
                                                   void(boost::system::error_code, R)>(initiate, use_task);
  }

 private:
  boost::asio::thread_pool pool_;
};

}  // namespace llm
