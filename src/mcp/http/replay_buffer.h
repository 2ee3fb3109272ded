#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "mcp/outbox.h"

namespace llm::mcp {

// The id of an SSE event of a session: which stream, and where in it. Unique within the session, so that a client which
// comes back says with it what it missed (MCP 2025-11-25 "Resumability and redelivery").
struct EventId {
  Channel stream = 0;
  std::uint64_t position = 0;  // 0: before the first message
  std::string text() const;    // "3-17"
  static std::optional<EventId> parse(std::string_view text);
  friend bool operator==(const EventId&, const EventId&) = default;
};

// Bytes that the replay buffers of one loop share.
struct ReplayBudget {
  std::size_t most;
  std::size_t used = 0;
};

// The last events of a session. One loop; the budget outlives it.
class ReplayBuffer {
 public:
  ReplayBuffer(std::size_t most, ReplayBudget& budget) : most_(most), budget_(budget) {}
  ~ReplayBuffer() { clear(); }
  ReplayBuffer(const ReplayBuffer&) = delete;
  ReplayBuffer& operator=(const ReplayBuffer&) = delete;

  // Drops the oldest beyond `most` bytes, but not this one; and whatever is beyond the budget.
  void add(EventId id, std::string_view message);
  // Is there anything of that stream?
  bool holds(Channel stream) const;
  // Calls `each(id, message)` for what followed `id` in its stream.
  template <class Each>
  void after(EventId id, Each&& each) const {
    for (const Event& event : events_) {
      if (event.id.stream == id.stream && event.id.position > id.position) each(event.id, event.message);
    }
  }
  std::size_t bytes() const { return bytes_; }
  void clear();

 private:
  struct Event {
    EventId id;
    std::string message;
  };
  static std::size_t cost(const Event& event) { return sizeof(Event) + event.message.size(); }
  void drop_oldest();

  std::size_t most_;
  ReplayBudget& budget_;
  std::deque<Event> events_;
  std::size_t bytes_ = 0;
};

}  // namespace llm::mcp
