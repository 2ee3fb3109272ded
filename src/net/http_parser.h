#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/headers.h"

namespace llm::net {

// Sizes of one message. A message past a limit is refused, never cut.
struct MessageLimits {
  std::size_t max_header_bytes = 32 * 1024;  // request or status line and all header lines
  std::size_t max_header_count = 100;
  std::uint64_t max_body_bytes = 32 * 1024 * 1024;
};

enum class Role { kServer /* parses requests */, kClient /* parses responses */ };

// HTTP/1.1 message parser, sans-IO: Boost.Beast's grammar for the head under our strict policy (http_policy.h), our own
// reader for the body's framing (http_body.h). Feed it bytes; it takes what it can and says when the head and the
// message are complete. What it makes of a stream does not depend on how the stream is cut into pieces. One object
// serves a connection for life: `reset` keeps its buffers, but for those that a large body grew.
class HttpParser {
 public:
  HttpParser(Role role, MessageLimits limits);
  ~HttpParser();
  HttpParser(HttpParser&&) noexcept;
  HttpParser& operator=(HttpParser&&) noexcept;

  // Starts the next message. `head_request`: the response to come answers HEAD and has no body.
  void reset(bool head_request = false);

  // Consumes a prefix of `bytes`; returns its length. An incomplete head is not consumed: keep its bytes and hand them
  // in again with more. Errors are final until reset(): a server answers with error_status() and closes.
  Result<std::size_t> feed(std::string_view bytes);
  // The peer closed. An error unless the message is complete or is a response that ends with the connection.
  Result<void> feed_eof();

  bool head_done() const;
  bool done() const;
  // The status to answer the last error with: 400, 413, 417, 431, 501 or 505.
  int error_status() const;

  // Valid once head_done(), until reset().
  std::string_view method() const;  // requests
  std::string_view target() const;
  int status() const;   // responses
  int version() const;  // 10 or 11
  const Headers& headers() const;
  bool keep_alive() const;
  bool expects_continue() const;
  bool has_body() const;  // a Content-Length above 0, chunked, or until close

  // Body bytes parsed so far and not yet taken (chunk framing removed, trailers dropped).
  std::string& body();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace llm::net
