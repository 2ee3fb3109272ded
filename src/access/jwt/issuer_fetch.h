#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "access/jwt/issuer_settings.h"
#include "access/jwt/jwk.h"
#include "async/cancel.h"
#include "async/loop.h"
#include "net/address.h"
#include "net/http_client.h"

namespace llm::access {

struct FetchLimits {
  std::chrono::milliseconds timeout{10'000};  // discovery and keys together
  std::size_t max_bytes = 512 * 1024;         // of one answer
};

struct FetchedKeys {
  std::vector<Jwk> keys;
  std::int64_t max_age_ms = 0;  // how long they may be used before they are fetched again
};

// A URL as the client needs it.
struct FetchTarget {
  net::Endpoint endpoint;
  std::string target;  // path and query
};
// https, or http on loopback; no user information, no fragment. kInvalidArgument.
Result<FetchTarget> fetch_target(std::string_view url);
// The same for a URL that a discovery document names. It may lead to another host, as those of large providers do, but
// then only to a public name over https, whose certificate proves it: a document does not open the local network.
Result<FetchTarget> discovered_target(std::string_view url, const FetchTarget& found_at);

// The `max-age` of a Cache-Control field in milliseconds, within a minute and a day; ten minutes without one.
std::int64_t max_age_of(std::string_view cache_control);

// The issuer's keys: by discovery (OpenID Connect Discovery 1.0, section 4), whose `issuer` must be this one, or
// straight from `jwks_uri`. Follows no redirects. kUnavailable with what went wrong where; kCancelled.
Task<Result<FetchedKeys>> fetch_keys(const IssuerSettings& settings, FetchLimits limits, Loop& loop,
                                     net::HttpClient& client, CancelToken cancel);

}  // namespace llm::access
