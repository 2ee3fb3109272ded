#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace llm::models {

// One download by GET. Only https, and http to a loopback address; every redirect (at most 5) is held to the same rule
// and can never go from https to http.
struct HttpGet {
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  std::string bearer_token;  // sent to the origin (scheme, host, port) of `url` only, never after a redirect away
  int connect_timeout_ms = 15'000;
  int stall_timeout_s = 30;  // no byte for that long ends the attempt
};

// The answer that is not a redirect.
struct HttpHead {
  int status = 0;
  std::map<std::string, std::string> headers;        // names in lower case; the last of equal ones
  std::map<std::string, std::string> first_headers;  // of the first answer, which may have been a redirect
  std::string url;                                   // where the answer came from

  std::string_view header(std::string_view name) const;
};

// Takes the answer. An error from either call ends the transfer and is what http_get returns.
class HttpSink {
 public:
  virtual ~HttpSink() = default;
  virtual Result<void> start(const HttpHead& head) = 0;  // once, before any data
  virtual Result<void> data(std::span<const std::byte> bytes) = 0;
};

// Blocks until the answer is complete. Statuses are the caller's business. Network failures are kUnavailable (worth a
// retry), a forbidden or malformed address kInvalidArgument, too many redirects kUnavailable without retry_after_s.
// Looks at `cancelled` at least five times a second.
Result<HttpHead> http_get(const HttpGet& request, HttpSink& sink, const std::atomic<bool>& cancelled);

// A small text answer in memory; kPayloadTooLarge beyond `limit` bytes.
struct HttpText {
  HttpHead head;
  std::string body;
};
Result<HttpText> http_get_text(const HttpGet& request, std::size_t limit, const std::atomic<bool>& cancelled);

// The rule above, for settings and requests: absolute, https or loopback http, a host, no user or password.
Result<void> check_url(std::string_view url);
// "https://host:port", with the port written out; empty for what check_url refuses.
std::string origin_of(std::string_view url);
// `reference` (absolute or relative) as seen from `base`; checked as a redirect from it.
Result<std::string> redirect_target(const std::string& base, const std::string& reference);

// Percent-encodes everything but unreserved characters (RFC 3986) and "/".
std::string encode_path(std::string_view path);

}  // namespace llm::models
