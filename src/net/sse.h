#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/error.h"

namespace llm::net {

// One dispatched event. The views are valid during the callback only.
struct SseEvent {
  std::string_view event;  // empty: the default type, which the specification calls "message"
  std::string_view data;   // the data lines joined with LF; bytes as received, UTF-8 is not checked
  std::string_view id;     // the last event id of the stream so far (an id outlives the event that set it)
  std::optional<std::uint32_t> retry_ms;  // a reconnection time that came with this event, in milliseconds
};

struct SseLimits {
  // Bytes of one event: its lines with field names, without line ends. One single line may not be longer either.
  std::size_t max_event_bytes = 1 << 20;
};

// Parser of text/event-stream (WHATWG HTML, "Server-sent events", 9.2.5 and 9.2.6). Bytes in any slices; events come
// out as soon as their blank line is there. An event whose lines all lie in one slice is handed out without a copy.
// An event that the stream's end cuts off is never handed out. Not thread-safe.
class SseParser {
 public:
  explicit SseParser(SseLimits limits = {}) : limits_(limits) {}

  // Calls `on_event(const SseEvent&)` for each event that `bytes` completes. The callback must not touch the parser.
  // kPayloadTooLarge when an event is over the limit; the parser then stays failed until reset().
  template <class OnEvent>
  Result<void> feed(std::string_view bytes, OnEvent&& on_event) {
    using Function = std::remove_reference_t<OnEvent>;
    return feed_to(bytes,
                   Callback{const_cast<void*>(static_cast<const void*>(std::addressof(on_event))),
                            [](void* target, const SseEvent& event) { (*static_cast<Function*>(target))(event); }});
  }

  // As for a new connection, but keeps the last event id and the retry time, which a reconnect needs.
  void reset();

  std::string_view last_event_id() const { return last_id_; }
  std::optional<std::uint32_t> retry_ms() const { return retry_ms_; }
  // Has a part of an event come that its end did not follow yet? True at the end of a stream: it was cut off.
  bool mid_event() const { return !partial_.empty() || has_data_ || has_fields_; }

 private:
  struct Callback {
    void* target;
    void (*call)(void* target, const SseEvent& event);
  };
  // A text that is a view into the slice being fed, until hold() makes it our own.
  struct Text {
    std::string_view view;
    std::string own;
    bool owned = true;
    std::string_view get() const { return owned ? std::string_view(own) : view; }
    void set(std::string_view text, bool copy);
    void hold();
    void clear();
  };

  Result<void> feed_to(std::string_view bytes, Callback callback);
  Result<void> feed_lines(std::string_view bytes, Callback callback);
  bool take_line(std::string_view line, bool copy, Callback callback);  // false: over the limit
  void take_field(std::string_view name, std::string_view value, bool copy);
  void dispatch(Callback callback);
  bool skip_byte_order_mark(std::string_view& bytes);  // false: more bytes needed to tell

  SseLimits limits_;
  std::string partial_;  // an unfinished line, carried to the next slice
  Text data_;
  Text event_;
  std::string id_;       // "last event ID buffer": becomes last_id_ when its event ends
  std::string last_id_;  // "last event ID string"
  std::optional<std::uint32_t> retry_ms_;
  std::optional<std::uint32_t> event_retry_ms_;
  std::size_t event_bytes_ = 0;
  std::uint8_t mark_bytes_ = 0;  // bytes of the byte order mark seen so far; kMarkDone when past the start
  bool has_data_ = false;
  bool has_fields_ = false;
  bool id_changed_ = false;
  bool skip_lf_ = false;  // the last slice ended in CR: a LF at the start of the next one belongs to it
  bool failed_ = false;
};

// Writers for the same format; each appends one whole block with its blank line.
// Line ends inside `data` (CR, LF, CRLF) become several data lines, which the reader joins with LF.
void append_sse_data(std::string& out, std::string_view data);
// With an event type. Line ends inside `event` are dropped: nobody can smuggle a field through it.
void append_sse_event(std::string& out, std::string_view event, std::string_view data);
// A comment, which readers ignore: keeps idle connections open (": ping").
void append_sse_comment(std::string& out, std::string_view text);

}  // namespace llm::net
