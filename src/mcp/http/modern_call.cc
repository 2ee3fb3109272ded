#include "mcp/http/modern_call.h"

#include "mcp/http/modern_rules.h"

namespace llm::mcp {

ModernCall::ModernCall(const Server& server, net::Exchange& exchange, const HttpSettings& settings,
                       const access::Principal& principal)
    : settings_(settings), stream_(exchange, settings), connection_(server, exchange.loop(), *this, principal) {
  stream_.on_gone = [this] { connection_.abandon(kChannel); };
}

void ModernCall::end() {
  connection_.abandon(kChannel);  // if it was cut off
  connection_.close();
}

// The notification with which a connection ends a subscription is for stdio; here the result ends it, and the stream
// (MCP 2026-07-28 "Subscriptions").
void ModernCall::stop() {
  stopping_ = true;
  connection_.close();
}

void ModernCall::send(std::string_view message, const Label& label) {
  if (label.kind == MessageKind::kAnswer) return stream_.answer(message, modern_status(label.error_code));
  if (!stopping_) stream_.event(message);
}

}  // namespace llm::mcp
