#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "json/json.h"
#include "net/sse.h"

namespace llm::client {

// The server-sent events with which a gateway answers a streamed call: any number of events for the caller, then one of
//   {"done":true, …}   the answer; for a generation without its text, which is what the events before it said
//   {"error":{…}}      the failure
// and perhaps "[DONE]". Bytes in, events out; no I/O.
class EventStream {
 public:
  explicit EventStream(std::size_t max_event_bytes) : parser_({.max_event_bytes = max_event_bytes}) {}

  // kPayloadTooLarge: an event is over the limit; the stream is of no use after that.
  Result<void> feed(std::string_view bytes);
  // The caller's events since the last time.
  std::vector<json::object> take() { return std::exchange(events_, {}); }
  // The answer, complete with its "text" and without "done".
  std::optional<json::object>& answer() { return answer_; }
  const std::optional<Error>& failure() const { return failure_; }

 private:
  void on_data(std::string_view data);

  net::SseParser parser_;
  std::vector<json::object> events_;
  std::optional<json::object> answer_;
  std::optional<Error> failure_;
  std::string text_;
  bool has_text_ = false;
};

}  // namespace llm::client
