#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "async/event.h"
#include "async/task.h"
#include "async/timer_wheel.h"
#include "mcp/http/settings.h"
#include "net/http_server.h"

namespace llm::mcp {

// The answer to one POST or GET: a JSON document if nothing but the answer is sent, else an SSE stream, which lives
// until `finish`. Messages are queued and written by `run`. On the exchange's loop; lives no longer than the exchange.
class ReplyStream {
 public:
  ReplyStream(net::Exchange& exchange, const HttpSettings& settings);
  ReplyStream(const ReplyStream&) = delete;
  ReplyStream& operator=(const ReplyStream&) = delete;

  // What stands at the beginning of the stream, if it becomes one.
  void set_preamble(std::string text) { preamble_ = std::move(text); }
  // Makes it a stream, if it is none yet, and sends its head at once.
  void begin();
  // Sends a message, after an answer that was held back.
  void event(std::string_view message, std::string_view id = {});
  // The answer of a request: held back until it is clear that nothing else comes. `status` counts if it goes out as
  // JSON.
  void answer(std::string_view message, int status);
  // Nothing more comes.
  void finish();
  // Ends the connection without an orderly end.
  void cut();

  // Writes until everything is out, or the client is gone.
  Task<void> run();

  bool streaming() const { return streaming_; }
  std::size_t queued() const { return queue_.size() + in_write_.size(); }

  std::atomic<std::size_t>* gauge = nullptr;  // set: says how many bytes are queued, for other threads

  std::function<void()> on_gone;         // the client left; not after `cut`. Called once, before `run` returns
  std::function<void()> on_slow_answer;  // it became a stream because the answer takes long

 private:
  void leave();
  void on_silence();
  Task<Result<void>> write_queue();
  Task<Result<void>> finish_answer();
  void release_buffers();
  void note_queued() {
    if (gauge != nullptr) gauge->store(queued(), std::memory_order_relaxed);
  }

  net::Exchange& exchange_;
  const HttpSettings& settings_;
  Event changed_;
  Deadline silence_;
  std::string preamble_;
  std::string queue_;     // SSE text
  std::string in_write_;  // what a write under way takes
  std::optional<std::string> answer_;
  int answer_status_ = 200;
  bool streaming_ = false;
  bool finished_ = false;
  bool gone_ = false;
};

}  // namespace llm::mcp
