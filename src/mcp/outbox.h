#pragma once

#include <cstdint>
#include <string_view>

namespace llm::mcp {

// Where a message came in: chosen by the transport, given back with everything that belongs to that message. Over
// stdio there is one; over HTTP every POST is one. 0: nothing in particular.
using Channel = std::uint64_t;

enum class MessageKind : std::uint8_t { kAnswer, kNotification, kRequest };

struct Label {
  Channel channel = 0;
  MessageKind kind = MessageKind::kAnswer;
  int error_code = 0;  // of an answer that is an error
};

// Where a connection's messages go: a transport. One loop.
class Outbox {
 public:
  virtual ~Outbox() = default;
  // One message without newline. Copied; never waits. After the peer has gone it does nothing.
  virtual void send(std::string_view message, const Label& label) = 0;
  // All that came in by this channel has its answer, or gets none. Called once for each, after its last message.
  virtual void finished(Channel) {}
  // Closes the stream that the channel's messages go out by, if its client will come back for the rest (SSE polling).
  virtual void close_stream(Channel) {}
  // Does the peer read too slowly? Then messages that may be lost (progress) are not even made.
  virtual bool congested() const { return false; }
};

}  // namespace llm::mcp
