#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "async/event.h"
#include "net/transport.h"

namespace llm::net {

// The receiving side of a connection. A read is always pending (until the buffer is full), also while nobody waits for
// bytes: that is how a client that goes away in the middle of a generation is noticed at once. While nothing is
// buffered an idle connection holds a few KiB.
class InputBuffer {
 public:
  // `most`: bytes kept unread before reading pauses. The transport must outlive the buffer.
  InputBuffer(Transport& transport, Executor executor, std::size_t most);
  ~InputBuffer();
  InputBuffer(const InputBuffer&) = delete;
  InputBuffer& operator=(const InputBuffer&) = delete;

  std::string_view data() const;
  void consume(std::size_t n);
  void release();  // gives the memory back if nothing is kept; the next bytes take it again
  // True once bytes arrived that were not there at the last call; false at the end of the stream, after an error, or
  // when interrupted. One waiter.
  Task<bool> wait_more();
  bool ended() const;   // end of stream or error
  bool failed() const;  // it was an error (a reset, say), not an orderly end
  void interrupt();     // lets this or the next wait_more return false (a time-out, a stop), unless bytes come first
  // Called once when the stream ends while nobody is in wait_more.
  void on_end(std::function<void()> callback);

 private:
  struct State;
  static void pump(const std::shared_ptr<State>& state);
  static void on_readable(const std::shared_ptr<State>& state, const Result<void>& ready);
  std::shared_ptr<State> state_;  // shared with the pending read, which may end after the owner
};

}  // namespace llm::net
