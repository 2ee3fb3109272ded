#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "async/task.h"
#include "mcp/connection.h"
#include "mcp/http/reply_stream.h"
#include "mcp/outbox.h"
#include "mcp/server.h"

namespace llm::mcp {

// One request of the stateless era: a connection of its own, for as long as it takes. The client leaves: it is
// cancelled (MCP 2026-07-28 "Cancellation"). On the exchange's loop.
class ModernCall final : public Outbox {
 public:
  ModernCall(const Server& server, net::Exchange& exchange, const HttpSettings& settings,
             const access::Principal& principal);

  // In this order; `end` makes ready for the end, for which `drained` waits.
  void start(Decoded request) { connection_.on_decoded(std::move(request), kChannel); }
  Task<void> answer() { return stream_.run(); }
  void end();
  Task<void> drained() { return connection_.drained(); }
  // The server stops: what it does is cancelled and answered.
  void stop();

  void send(std::string_view message, const Label& label) override;
  void finished(Channel) override { stream_.finish(); }
  bool congested() const override { return stream_.queued() > settings_.max_queued_bytes / 2; }

 private:
  static constexpr Channel kChannel = 1;

  const HttpSettings& settings_;
  ReplyStream stream_;
  Connection connection_;
  bool stopping_ = false;
};

}  // namespace llm::mcp
