#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "async/loop.h"
#include "async/task.h"
#include "mcp/calls.h"
#include "mcp/jsonrpc.h"
#include "mcp/legacy_era.h"
#include "mcp/modern_era.h"
#include "mcp/outbox.h"
#include "mcp/server.h"

namespace llm::mcp {

// One client: messages in, messages out through the Outbox, handlers running in between. Serves both eras side by side
// and chooses for each message. Knows no transport. One loop; `server` and `outbox` outlive it; it is destroyed only
// after `close` and `drained`, or after its loop has ended.
class Connection {
 public:
  Connection(const Server& server, Loop& loop, Outbox& outbox, const access::Principal& principal = {});

  // Whoever sends the next messages: the same id, with what it may do now.
  void set_principal(const access::Principal& principal);

  // One message or batch as text, without a newline. Never fails: what is wrong with it is answered.
  void on_line(std::string_view line, Channel channel = 0) { on_decoded(decode_line(line), channel); }
  // The same for transports that had to look into it first.
  void on_decoded(Decoded decoded, Channel channel);
  // The client sent a line longer than the transport takes.
  void on_overlong_line(std::size_t limit);

  // The client left this channel: what came in by it is cancelled, gets no answer any more, and no `finished` either
  // where a subscription ends.
  void abandon(Channel channel);

  // Ends the calls in flight (they are still answered) and the subscriptions. Messages that come later are ignored.
  void close();
  Task<void> drained() { return calls_.drained(); }
  std::size_t in_flight() const { return calls_.size() + modern_.subscriptions().size(); }

  // The legacy session, if `initialize` opened one.
  bool initialized() const { return legacy_.initialized(); }
  const Revision& revision() const { return legacy_.revision(); }

 private:
  void on_message(Message& message, ReplyTo to);
  void on_batch(Batch& batch, Channel channel);
  void on_request(Request& request, ReplyTo to);
  void on_notification(const Notification& notification);
  bool is_modern(const Request& request) const;
  void follow_changes();
  void on_change(const Change& change);

  const Server& server_;
  Calls calls_;
  LegacyEra legacy_;
  ModernEra modern_;
  bool modern_seen_ = false;
  bool closed_ = false;
  bool following_ = false;
  std::shared_ptr<Connection*> alive_;  // watched by what is posted to our loop
  Changes::Subscription changes_;
};

}  // namespace llm::mcp
