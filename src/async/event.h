#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/post.hpp>
#include <cstdlib>
#include <optional>
#include <utility>

#include "async/task.h"

namespace llm {

class Event;

namespace detail {

// The events of one loop that somebody waits for. A waiting coroutine is owned by its event, and the event often by
// that coroutine: a ring that nothing would free when a loop ends with waiters. The io_context breaks it when it goes.
class EventService final : public boost::asio::execution_context::service {
 public:
  using key_type = EventService;
  static boost::asio::execution_context::id id;

  explicit EventService(boost::asio::execution_context& context) : service(context) {}
  void shutdown() override;

 private:
  friend class llm::Event;
  Event* first_ = nullptr;
};

}  // namespace detail

// One coroutine waits, code on the same loop notifies. A notification without a waiter is remembered (once), so none
// is lost between a check and the wait; a waiter may therefore wake without cause and checks again. Cheaper than a
// timer or channel: one post per wake-up.
class Event {
 public:
  explicit Event(Executor executor)
      : executor_(executor), service_(boost::asio::use_service<detail::EventService>(executor.context())) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  // A coroutine that still waits when its event dies is destroyed, not resumed; owners notify before they go.
  ~Event() { unlink(); }

  void notify() {
    if (!waiter_) {
      signalled_ = true;
      return;
    }
    boost::asio::post(executor_,
                      [handler = take_waiter()]() mutable { std::move(handler)(boost::system::error_code()); });
  }

  // The same without the post: the waiter goes on inside this call. Only as the last act of a handler that the loop
  // called, for whatever the waiter does may destroy the event and its owner.
  void resume() {
    if (!waiter_) {
      signalled_ = true;
      return;
    }
    take_waiter()(boost::system::error_code());
  }

  // No coroutine of its own: the initiation's frame is the only one.
  Task<void> wait() {
    auto initiate = [this](auto handler) {
      if (waiter_) std::abort();  // a second waiter is a bug: the first would never wake
      waiter_.emplace(std::move(handler));
      link();
      if (std::exchange(signalled_, false)) notify();
    };
    return boost::asio::async_initiate<const Token, Signature>(initiate, use_task);
  }

 private:
  friend class detail::EventService;
  using Token = boost::asio::use_awaitable_t<Executor>;
  using Signature = void(boost::system::error_code);
  using Handler = boost::asio::async_result<Token, Signature>::handler_type;

  Handler take_waiter() {
    unlink();
    Handler waiter = std::move(*waiter_);
    waiter_.reset();
    return waiter;
  }

  void link() {
    next_ = service_.first_;
    if (next_) next_->link_ = &next_;
    link_ = &service_.first_;
    service_.first_ = this;
  }
  void unlink() {
    if (!link_) return;
    *link_ = next_;
    if (next_) next_->link_ = link_;
    link_ = nullptr;
    next_ = nullptr;
  }

  Executor executor_;
  detail::EventService& service_;
  std::optional<Handler> waiter_;
  bool signalled_ = false;
  Event** link_ = nullptr;  // what points here while somebody waits
  Event* next_ = nullptr;
};

}  // namespace llm
