#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "access/jwt/issuer_settings.h"
#include "access/permission.h"
#include "async/cancel.h"
#include "async/loop.h"
#include "base/error.h"

namespace llm::net {
class HttpClient;
}
namespace llm::observe {
class Log;
}

namespace llm::access {

class Identity;
class TokenCache;
class TokenIssuer;
class ForeignIssuer;
struct UnverifiedToken;

// What the authenticator made of a token, kept beside it in the cache so that the next request does not make it again.
// Any thread.
class IdentitySlot {
 public:
  IdentitySlot() = default;
  IdentitySlot(const IdentitySlot&) {}  // a copy of a token starts without
  IdentitySlot& operator=(const IdentitySlot&) { return *this; }
  // Null unless it was put for the same revision of the directory.
  std::shared_ptr<const Identity> get(std::int64_t revision) const;
  void put(std::shared_ptr<const Identity> identity, std::int64_t revision) const;

 private:
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Identity> identity_;
  mutable std::int64_t revision_ = -1;
};

// A token whose signature and claims are right. Immutable.
struct VerifiedToken {
  enum class Kind : std::uint8_t { kOwn, kForeign };
  Kind kind = Kind::kOwn;
  std::string issuer;   // own: "own"; foreign: the issuer's name in the configuration. Principal::id of a foreign
                        // one is "token:<issuer>:<subject>"
  std::string subject;  // `sub`
  std::string key_id;   // own: the API key that it was traded for. Its entry in the directory decides role, project,
                        // models, addresses, expiry and whether any of that still holds. Foreign: empty
  std::string project;  // own: the key's, when it was made; foreign: by the issuer's mapping, never empty
  std::vector<std::string>
      roles;  // foreign: roles of this gateway, at least one; what any of them allows is allowed. Own: empty
  PermissionSet scopes = {};  // narrows what the key or the roles allow
  std::string name;           // foreign: for people (`preferred_username`, `email`, `name`); may be empty
  std::string jti;            // own: never empty
  std::string session;        // own: the sign-in that it came out of
  std::int64_t issued = 0;    // milliseconds since 1970; 0: not said
  std::int64_t expires = 0;
  std::int64_t usable_until = 0;  // `expires` and the leeway for clocks that differ
  IdentitySlot identity = {};     // the authenticator's
};
using TokenDigest = std::array<unsigned char, 32>;  // SHA-256
using TokenResult = Result<std::shared_ptr<const VerifiedToken>>;

struct VerifierSettings {
  std::map<std::string, IssuerSettings> issuers = {};  // by name: `access.issuers`
  std::size_t max_token_bytes = 16 * 1024;             // one more is refused unread
  std::size_t cached_tokens = 16'384;                  // at most, over all shards; 0: no cache
};

// Tells whether a bearer token that looks like a JWT is good: one of our own, or of an issuer in the configuration.
// What was found good is cached by the token's SHA-256 until the token expires or is revoked. Any thread; a cached
// token costs a hash and a lookup. Errors, which repeat nothing of the token: kUnauthenticated (not well-formed,
// unknown issuer, wrong signature, not for us …; expired or revoked, with the detail "expired", as it was good once),
// kPermissionDenied (a good token of an issuer that gives it no role or project here), kUnavailable (the issuer's keys
// cannot be had; with retry_after).
class TokenVerifier {
 public:
  // `own` may be null: no tokens of our own. `now_ms`: milliseconds since 1970. An error in the settings (a URL that is
  // not https, an unknown algorithm, two issuers alike) shows in check(), which the wiring asks at start.
  TokenVerifier(VerifierSettings settings, const TokenIssuer* own, observe::Log& log,
                std::function<std::int64_t()> now_ms);
  ~TokenVerifier();
  TokenVerifier(const TokenVerifier&) = delete;
  TokenVerifier& operator=(const TokenVerifier&) = delete;

  // kInvalidArgument with a JSON Pointer below /access/issuers.
  static Result<void> check(const std::map<std::string, IssuerSettings>& issuers);

  // Every loop that calls verify() has a client of its own. Before the loops start.
  void add_loop(Loop& loop, net::HttpClient& client);

  // Three parts between two dots? Then it is for us; anything else is an API key or nothing.
  static bool looks_like_token(std::string_view bearer);

  // nullopt: only verify() can tell, as an issuer's keys must be fetched first. Never blocks.
  std::optional<TokenResult> try_verify(std::string_view token, std::int64_t now_ms);
  // The same with fetching. On `loop`, which add_loop() must know (else kUnavailable where a fetch is needed).
  Task<TokenResult> verify(std::string token, Loop& loop, CancelToken cancel);

  // May this token still be used? For streams and sockets that outlive the request which showed it.
  bool still_valid(const VerifiedToken& token, std::int64_t now_ms) const;

  // Tokens in the cache; for tests and metrics.
  std::size_t cached() const;

 private:
  TokenResult accept(const TokenDigest& digest, Result<VerifiedToken> verified);
  ForeignIssuer* issuer_of(const UnverifiedToken& token) const;
  net::HttpClient* client_of(Loop& loop) const;

  VerifierSettings settings_;
  const TokenIssuer* own_;
  std::function<std::int64_t()> now_ms_;
  std::vector<std::unique_ptr<ForeignIssuer>> foreign_;
  std::unique_ptr<TokenCache> cache_;
  std::vector<std::pair<Loop*, net::HttpClient*>> clients_;
};

}  // namespace llm::access
