#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "async/cancel.h"
#include "async/loop.h"
#include "net/transport.h"

namespace llm::net {

class TlsTrust;

// Where an HTTP server is reached. Either a Unix socket or host and port.
struct Endpoint {
  std::string unix_path = {};
  std::string host = {};
  std::uint16_t port = 0;
  bool tls = false;
  std::string base_path = {};  // prefix of every request target, without a trailing slash

  // Host header value, pool key and name in messages; never holds credentials.
  std::string authority() const;
  std::string text() const;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// "http://host[:port][/path]", "https://…", "unix:/path/to.sock[:/base]". Refuses user information, query and fragment.
Result<Endpoint> parse_endpoint(std::string_view url);

// Connects and, for TLS, completes the handshake with the peer's name verified against `trust` (null: the system's
// authorities, loaded anew: milliseconds). Errors: kUnavailable, kCancelled, kInvalidArgument (a socket path too long).
Task<Result<std::unique_ptr<Transport>>> connect(Loop& loop, Endpoint endpoint, std::chrono::milliseconds timeout,
                                                 CancelToken cancel, std::shared_ptr<TlsTrust> trust = nullptr);

// Listening sockets, non-blocking and close-on-exec. An address in use names the holder where the system tells it.
Result<int> listen_tcp(const std::string& host, std::uint16_t port);
// Replaces a stale socket file (nobody answers), refuses a live one. Mode 0600.
Result<int> listen_unix(const std::string& path);
std::uint16_t local_port(int fd);
bool is_loopback(std::string_view host);  // 127.0.0.0/8, ::1 (also in brackets), localhost; names are not resolved

}  // namespace llm::net
