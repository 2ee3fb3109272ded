#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/cancel.h"
#include "async/loop.h"
#include "net/address.h"
#include "net/http_parser.h"

namespace llm::net {

struct ClientSettings {
  MessageLimits message{.max_header_bytes = 64 * 1024, .max_header_count = 200, .max_body_bytes = 1ULL << 40};
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds idle_timeout{4'000};  // pooled connections; below llama-server's 5 s
  std::size_t idle_per_endpoint = 256;            // 0: none is kept
};

struct ClientRequest {
  std::string_view method = "GET";
  std::string_view target = "/";  // appended to the endpoint's base path
  std::string_view content_type = {};
  std::string_view body = {};
  std::vector<std::pair<std::string_view, std::string_view>> headers = {};
  std::chrono::milliseconds head_timeout{0};   // from the first byte sent until the answer's head is there; 0 = none
  std::chrono::milliseconds stall_timeout{0};  // between two arrivals of body bytes; 0 = none
  bool repeatable = true;  // false: what it does may not be done twice, so it gets a fresh connection and no second try
};

class ClientConnection;
class ClientPool;

// An answer whose head is there. Dropping it before its end closes the connection, which is how a generation is aborted
// in the engine behind it. A moved-from answer can only be destroyed or assigned to.
class ClientResponse {
 public:
  ClientResponse(std::shared_ptr<ClientPool> pool, std::unique_ptr<ClientConnection> connection, CancelToken cancel,
                 std::chrono::milliseconds stall_timeout);
  ClientResponse(ClientResponse&&) noexcept;
  ClientResponse& operator=(ClientResponse&&) noexcept;
  ~ClientResponse();

  int status() const;
  const Headers& headers() const;
  // All body bytes that have arrived since the last call, at least one; empty at the end of the body. The view lives
  // until the next call or move. Errors: kEngineFailed (cut or malformed), kEngineTimeout (stall), kCancelled.
  Task<Result<std::string_view>> read();
  // The rest of the body. More than `most` bytes: kPayloadTooLarge.
  Task<Result<std::string>> read_all(std::size_t most = 256 * 1024 * 1024);

 private:
  void finish();  // gives the connection back if its answer is complete, closes it otherwise

  std::shared_ptr<ClientPool> pool_;  // shared: an answer may outlive its client
  std::unique_ptr<ClientConnection> connection_;
  CancelToken cancel_;
  std::chrono::milliseconds stall_timeout_;
  std::string chunk_;
};

// HTTP/1.1 client of one loop with a pool of kept-alive connections per endpoint. A connection that the server closed
// while it was idle is noticed and dropped; a request that meets the race, so that not one byte of an answer came, is
// sent once more on a fresh connection. Destroyed before its loop, and not while send() runs.
class HttpClient {
 public:
  HttpClient(Loop& loop, ClientSettings settings);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // `endpoint` and the request's views must live until this returns. Errors: kInvalidArgument (a method, target or
  // header that would break the message), kUnavailable (no connection), kEngineFailed (the answer is malformed or cut),
  // kEngineTimeout, kCancelled.
  Task<Result<ClientResponse>> send(const Endpoint& endpoint, ClientRequest request, CancelToken cancel);

  // Closes the pooled connections to an endpoint that is going away.
  void forget(const Endpoint& endpoint);
  // Connections that wait in the pool; for tests and metrics.
  std::size_t idle() const;

 private:
  Task<Result<std::unique_ptr<ClientConnection>>> acquire(const Endpoint& endpoint, bool fresh, CancelToken cancel);

  Loop& loop_;
  ClientSettings settings_;
  std::shared_ptr<ClientPool> pool_;
  std::shared_ptr<TlsTrust> trust_;  // loaded for the first TLS endpoint
};

}  // namespace llm::net
