#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/loop.h"
#include "async/task.h"
#include "mcp/http/request_headers.h"
#include "mcp/http/settings.h"
#include "mcp/jsonrpc.h"
#include "mcp/server.h"
#include "net/http_server.h"

namespace llm::mcp {

class Attachment;

// MCP over Streamable HTTP: everything that happens at one path ("/mcp"), for POST, GET and DELETE; other methods get a
// 405. Serves the stateless era (2026-07-28) and the sessions of the older revisions side by side; see README.md.
// Thread-safe: an exchange is handled on its own loop, which is one of `loops`. `server` and the loops outlive it;
// destroyed after `stop` and `drained`, or after its loops have ended.
class HttpEndpoint {
 public:
  HttpEndpoint(const Server& server, HttpSettings settings, const std::vector<Loop*>& loops);
  ~HttpEndpoint();
  HttpEndpoint(const HttpEndpoint&) = delete;
  HttpEndpoint& operator=(const HttpEndpoint&) = delete;

  // Answers the exchange. `principal`: who asks, as authentication found out.
  Task<void> handle(net::Exchange& exchange, access::Principal principal);

  // Ends the listening streams with their results, the calls and the sessions; later requests get a 503. Any thread;
  // idempotent.
  void stop();
  // After `stop`: until everything has ended. On any loop; the endpoint's loops run.
  Task<void> drained();

  std::size_t sessions() const;  // any thread

 private:
  struct Shard;
  struct Visitor;

  Shard& shard_of(const Loop& loop) const;
  std::shared_ptr<Shard> home_of(std::string_view session_id) const;

  // What is to be done with an exchange that has not been answered yet.
  enum class Route { kNowhere, kModern, kInitialize, kSession, kGet, kDelete };

  Task<Route> admit(net::Exchange& exchange, const Shard& here, const access::Principal& principal, Decoded& message);
  Task<Route> admit_post(net::Exchange& exchange, const RequestHeaders& headers, const access::Principal& principal,
                         Decoded& message);
  Task<Route> admit_modern(net::Exchange& exchange, const RequestHeaders& headers, const access::Principal& principal,
                           const Decoded& message);
  Task<void> modern(net::Exchange& exchange, Shard& here, Decoded& message, const access::Principal& principal);
  Task<void> initialize(net::Exchange& exchange, Shard& here, Decoded& message, const access::Principal& principal);
  Task<void> post_to_session(net::Exchange& exchange, Shard& here, Decoded& message,
                             const access::Principal& principal);
  Task<void> get(net::Exchange& exchange, Shard& here, const access::Principal& principal);
  Task<void> remove(net::Exchange& exchange, Shard& here, const access::Principal& principal);

  const Server& server_;
  const HttpSettings settings_;
  std::vector<std::shared_ptr<Shard>> shards_;  // by loop; shared with what is posted to them
};

}  // namespace llm::mcp
