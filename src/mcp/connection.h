#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "async/task.h"
#include "mcp/calls.h"
#include "mcp/jsonrpc.h"
#include "mcp/legacy_era.h"
#include "mcp/modern_era.h"
#include "mcp/outbox.h"
#include "mcp/server.h"

namespace llm::mcp {

// One client: lines in, messages out through the Outbox, tool calls running in between. Serves both eras side by side
// and chooses for each message. Knows no transport. One loop; `server` and `outbox` outlive it; it is destroyed only
// after `close` and `drained`, or after its loop has ended.
class Connection {
 public:
  Connection(const Server& server, Executor executor, Outbox& outbox);

  // One line without its newline. Never fails: what is wrong with it is answered.
  void on_line(std::string_view line);
  // The client sent a line longer than the transport takes.
  void on_overlong_line(std::size_t limit);

  // Ends the calls in flight (they are still answered) and the subscriptions. Lines that come later are ignored.
  void close();
  Task<void> drained() { return calls_.drained(); }
  std::size_t in_flight() const { return calls_.size() + modern_.listens(); }

 private:
  void on_message(Message& message, const std::shared_ptr<BatchReply>& batch);
  void on_batch(Batch& batch);
  void on_request(Request& request, const std::shared_ptr<BatchReply>& batch);
  void on_notification(const Notification& notification);
  bool is_modern(const Request& request) const;

  const Server& server_;
  Calls calls_;
  LegacyEra legacy_;
  ModernEra modern_;
  bool modern_seen_ = false;
  bool closed_ = false;
};

}  // namespace llm::mcp
