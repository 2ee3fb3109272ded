#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "async/loop.h"
#include "mcp/http/reply_stream.h"

namespace llm::mcp {

// The thread-safe handle by which a session, on its home loop, feeds an answer on the loop of its exchange. On the same
// loop it acts at once, else by posting, in order. Shared by the session, the exchange and what is posted between them.
class Attachment : public std::enable_shared_from_this<Attachment> {
 public:
  // On the exchange's loop.
  Attachment(ReplyStream& stream, Loop& loop) : loop_(loop), stream_(&stream) { stream.gauge = &queued_; }

  void set_preamble(std::string text) {
    apply(0, [text = std::move(text)](ReplyStream& stream) { stream.set_preamble(text); });
  }
  void begin() {
    apply(0, [](ReplyStream& stream) { stream.begin(); });
  }
  void event(std::string_view message, std::string id) {
    if (loop_.is_current()) {
      if (stream_ != nullptr) stream_->event(message, id);
      return;
    }
    apply(message.size(),
          [text = std::string(message), id = std::move(id)](ReplyStream& stream) { stream.event(text, id); });
  }
  void answer(std::string message, int status) {
    apply(message.size(), [text = std::move(message), status](ReplyStream& stream) { stream.answer(text, status); });
  }
  void finish() {
    apply(0, [](ReplyStream& stream) { stream.finish(); });
  }

  // Bytes on their way: posted, or in the stream.
  std::size_t queued() const {
    return posted_.load(std::memory_order_relaxed) + queued_.load(std::memory_order_relaxed);
  }

  // On the exchange's loop: the stream is about to end; nothing touches it any more.
  void release() {
    stream_ = nullptr;
    queued_.store(0, std::memory_order_relaxed);
  }

 private:
  template <class Action>
  void apply(std::size_t bytes, Action action) {
    if (loop_.is_current()) {
      if (stream_ != nullptr) action(*stream_);
      return;
    }
    posted_.fetch_add(bytes, std::memory_order_relaxed);
    loop_.post([self = shared_from_this(), bytes, action = std::move(action)] {
      self->posted_.fetch_sub(bytes, std::memory_order_relaxed);
      if (self->stream_ != nullptr) action(*self->stream_);
    });
  }

  Loop& loop_;
  ReplyStream* stream_;  // on `loop_` only; null when it has ended
  std::atomic<std::size_t> posted_{0};
  std::atomic<std::size_t> queued_{0};
};

}  // namespace llm::mcp
