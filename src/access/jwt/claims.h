#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "access/jwt/jws.h"
#include "json/json.h"

namespace llm::access {

// A JWT (RFC 7519) taken apart, before anybody has looked at its signature: good for choosing a key and nothing else.
struct UnverifiedToken {
  JwsParts jws;
  json::object claims;
};
// kUnauthenticated for what is no compact JWS with a JSON object inside, or repeats a member anywhere.
Result<UnverifiedToken> take_apart(std::string_view token, std::size_t max_bytes);

struct ClaimRules {
  std::string_view issuer;
  std::vector<std::string> audience;  // one of them must be in `aud`
  std::vector<std::string>
      types;  // of the header's `typ`, ASCII case ignored, with or without "application/"; "": none
  std::int64_t leeway_ms = 30'000;
  std::int64_t max_age_ms = -1;  // since `iat`, which must then be there; -1: any
  bool need_jti = false;
};

// The registered claims (RFC 7519, section 4.1) once they are checked. Milliseconds since 1970.
struct RegisteredClaims {
  std::string subject;
  std::string jti;
  std::int64_t expires = 0;
  std::int64_t issued = 0;  // 0: not said
};

// For tokens whose signature is right. kUnauthenticated with what is wrong; of one that has expired with the detail
// "expired", since it was good once. Times are numbers of seconds, whole or not, from 0 to the year 9999.
Result<RegisteredClaims> check_claims(const UnverifiedToken& token, const ClaimRules& rules, std::int64_t now_ms);

// The values at a path of member names ("realm_access.roles"): a string itself, "true" or "false", the strings of a
// list. A claim whose own name has dots ("https://example.com/roles") is found first. Empty: none.
std::vector<std::string> claim_values(const json::object& claims, std::string_view path);

}  // namespace llm::access
