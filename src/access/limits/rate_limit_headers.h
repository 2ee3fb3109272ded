#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "access/limits/limiter.h"

namespace llm::access {

struct RateLimitHeader {
  std::string_view name;  // static
  std::string value;
  friend bool operator==(const RateLimitHeader&, const RateLimitHeader&) = default;
};

// What an answer says about where its caller stands; nothing if no limit applies.
// - RateLimit-Policy and RateLimit: draft-ietf-httpapi-ratelimit-headers-10, lists of structured fields (RFC 9651):
//   `"key-requests";q=60;w=60` and `"key-requests";r=59;t=1`. Tokens are counted in the unit qu="tokens", which the
//   draft leaves to others to define.
// - x-ratelimit-{limit,remaining,reset}-{requests,tokens}, as OpenAI's clients read them. Tokens: of prompts or
// answers,
//   whichever has less left.
std::vector<RateLimitHeader> rate_limit_headers(const LimitReport& report);

}  // namespace llm::access
