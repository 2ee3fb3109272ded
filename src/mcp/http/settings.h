#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "access/principal.h"
#include "mcp/http/origin_check.h"
#include "net/http_server.h"

namespace llm::mcp {

struct HttpSettings {
  // Unsent bytes of one answer. Beyond half of it progress is no longer made; beyond all of it the client is cut off.
  std::size_t max_queued_bytes = std::size_t{1} << 20;
  // How long an answer is silent before an SSE comment shows that it lives. A call that takes longer than this is
  // answered as a stream. At least 50 ms.
  std::chrono::milliseconds keep_alive{15'000};

  // Sessions of the revisions up to 2025-11-25, over all loops. One more ends the one that was idle the longest; if
  // none is idle it is refused.
  std::size_t max_sessions = 4096;
  std::chrono::milliseconds session_idle{3600'000};  // no request and no open stream for so long: the session ends
  // What a client can still get after a stream broke: bytes of events kept per session (the newest is kept whatever its
  // size), and over the sessions of one loop.
  std::size_t replay_bytes = std::size_t{256} << 10;
  std::size_t replay_total_bytes = std::size_t{64} << 20;
  std::chrono::milliseconds retry{1'000};  // how soon a client shall come back to a stream that was closed under it

  // May a request with these Host and Origin headers be served? What answers no gets a 403.
  std::function<bool(std::optional<std::string_view> host, std::optional<std::string_view> origin)> allowed_from =
      loopback_only;
  // May this principal still do what it could when its stream was opened? Streams that listen (GET, and
  // subscriptions/listen) end soon after it is no. Empty: always.
  std::function<bool(const access::Principal&)> still_valid = {};
  std::chrono::milliseconds validity_interval{500};  // how often that is asked
  // URL of the protected-resource metadata (RFC 9728) as the client of this exchange reaches it, for the challenge of a
  // 403. Empty: none is named.
  std::function<std::string(const net::Exchange&)> resource_metadata = {};
  // Told of each request that its principal may not make, for the audit trail. `target`: the method, and what it names.
  std::function<void(const net::Exchange&, const access::Principal&, access::Permission needed,
                     const std::string& target)>
      on_denied = {};
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

}  // namespace llm::mcp
