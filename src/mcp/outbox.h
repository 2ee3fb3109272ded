#pragma once

#include <string_view>

namespace llm::mcp {

// Where a connection's messages go: a transport. One loop.
class Outbox {
 public:
  virtual ~Outbox() = default;
  // One message without newline. Copied; never waits. After the peer has gone it does nothing.
  virtual void send(std::string_view message) = 0;
  // Does the peer read too slowly? Then messages that may be lost (progress) are not even made.
  virtual bool congested() const { return false; }
};

}  // namespace llm::mcp
