#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace llm {

// One I/O thread's executor. A concrete type, not any_io_executor: it saves an allocation and a virtual call per
// operation on the request path.
using Executor = boost::asio::io_context::executor_type;

// A coroutine that runs on one loop and yields a T. Rules for all of them: parameters by value, or references the
// caller's frame owns; no capturing lambda as a coroutine; no lock held across co_await; errors are Results, and an
// exception that leaves a Task is a bug.
template <class T = void>
using Task = boost::asio::awaitable<T, Executor>;

// Completion tokens: `co_await op(use_task)` throws system_error, `co_await op(use_tuple)` yields tuple<error, ...>.
inline constexpr boost::asio::use_awaitable_t<Executor> use_task{};
inline constexpr auto use_tuple = boost::asio::as_tuple(boost::asio::use_awaitable_t<Executor>{});

}  // namespace llm
