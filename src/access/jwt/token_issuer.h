#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "access/identity.h"
#include "access/jwt/claims.h"
#include "access/secrets.h"
#include "base/error.h"
#include "json/fields.h"
#include "store/database.h"

namespace llm::access {

enum class SigningAlgorithm { kEdDSA, kES256 };

// `access.tokens` of the configuration: the gateway's own access and refresh tokens.
struct TokenSettings {
  std::string issuer = "llm-mcp";  // `iss`: a URL where the gateway has one; the same for all that share a store
  std::string audience = {};       // `aud`; empty: the issuer
  SigningAlgorithm algorithm = SigningAlgorithm::kEdDSA;
  json::Duration access_lifetime{15 * 60'000};
  json::Duration refresh_lifetime{30LL * 24 * 3'600'000};
  json::Duration key_lifetime{30LL * 24 * 3'600'000};  // how long one key signs
  json::Duration publish_ahead{24LL * 3'600'000};      // a new key is in the JWKS for so long before it signs
  json::Duration leeway{30'000};                       // clocks may differ by so much
};

// What POST /api/v1/auth/token answers, RFC 6749 section 5.1.
struct TokenGrant {
  std::string access_token;
  std::int64_t expires_in_s = 0;
  std::string refresh_token;
  std::string scope;  // what the access token may, space separated
};
// {"access_token", "token_type": "Bearer", "expires_in", "refresh_token", "scope"}
json::object to_json(const TokenGrant& grant);

// The identity of an API key that may still be used, by key id ("" never asked); null if it may not. Usually
//   [&](std::string_view key) { return directory.identity(fmt::format("key:{}", key)); }
// to which a front end adds whether the key may be used from the client's address.
using KeyLookup = std::function<std::shared_ptr<const Identity>(std::string_view key_id)>;

struct VerifiedToken;  // access/jwt/token_verifier.h

// Makes, renews and revokes the gateway's own tokens, and knows whether one of them is good.
//
// Access tokens are JWTs of type at+jwt (RFC 9068), bound to the API key they were traded for: `client_id` (the key's
// id), `sub` ("key:<id>"), `project`, `scope`, `jti`, and `sid`, which all tokens that came out of one sign-in share.
// They carry no rights: whoever accepts one looks its key up in the directory, so a key that is revoked, expired or
// limited to addresses takes its tokens with it. Refresh tokens are random (`llr_<id>_<secret>`), stored as a keyed
// hash and good for one use; a second use revokes everything of that sign-in, as one of the two users is a thief (RFC
// 9700, section 4.14.2).
//
// Signing keys are generated at first start and kept in the store, the private halves encrypted; gateways that share
// a store share them. A new key is published `publish_ahead` before the old one ends, signs when that has ended, and
// the old one verifies until its last token has expired.
//
// Threads: any. Calls that say "blocks" use the database and must not run on a loop.
class TokenIssuer {
 public:
  // `master` gives the keys for the private keys and the refresh tokens' hashes; `now_ms`: milliseconds since 1970.
  TokenIssuer(TokenSettings settings, store::Database& database, const MasterSecret& master,
              std::function<std::int64_t()> now_ms);
  ~TokenIssuer();
  TokenIssuer(const TokenIssuer&) = delete;
  TokenIssuer& operator=(const TokenIssuer&) = delete;

  // Reads the signing keys and what was revoked since the last time, makes the next signing key when it is due and
  // removes what is long over. Blocks. Once before the first use, whose error ends the start; then every 250 ms by one
  // thread, where an error leaves the old state. kUnavailable and others of the database; kInvalidArgument if the
  // store's keys were encrypted with another master secret.
  Result<void> refresh();

  // Trades an API key for tokens. `identity` is of the key that the caller has just shown; `scope` narrows what the
  // tokens may ("generate models:read"). Blocks. kPermissionDenied unless the identity is a key's: a token is no way to
  // another token. kInvalidArgument at /scope for an unknown scope and for one that the key has not.
  Result<TokenGrant> issue(const Identity& identity, std::optional<std::string_view> scope = {});

  // Trades a refresh token for new tokens; the old one is then used up. A narrower `scope` holds for this access token
  // only. Blocks. kUnauthenticated, in the same words, for what is not a refresh token of ours, is expired, revoked, or
  // whose key `lookup` refuses; when it was used before, all tokens of the sign-in are revoked at once.
  Result<TokenGrant> renew(std::string_view refresh_token, std::optional<std::string_view> scope,
                           const KeyLookup& lookup);

  // Revokes an access token (it alone) or a refresh token (all tokens of its sign-in), RFC 7009. Possession is what
  // entitles to it. A token that is unknown or dead already is no error. In force here when it returns, at other
  // gateways with their next refresh(). Blocks.
  Result<void> revoke(std::string_view token);

  // The JWK Set for /.well-known/jwks.json (application/jwk-set+json): public keys only.
  std::shared_ptr<const std::string> jwks() const;

  const TokenSettings& settings() const { return settings_; }

  // Is this one of our tokens, by its claims before anything is verified? For the TokenVerifier.
  bool is_ours(const UnverifiedToken& token) const;
  // Signature, claims and whether it was revoked. Never blocks. kUnauthenticated.
  Result<VerifiedToken> verify(const UnverifiedToken& token, std::int64_t now_ms) const;
  // Has this token, or the sign-in it belongs to, been revoked?
  bool revoked(const VerifiedToken& token) const;
  // What is said of one: kUnauthenticated with the detail "expired", as it was good once.
  static Error revoked_token();
  // Changes whenever something more was revoked.
  std::uint64_t revocations() const;

 private:
  struct State;
  TokenSettings settings_;
  std::unique_ptr<State> state_;
};

}  // namespace llm::access

template <>
struct llm::json::EnumNames<llm::access::SigningAlgorithm> {
  static constexpr std::array<std::pair<access::SigningAlgorithm, std::string_view>, 2> values = {{
      {access::SigningAlgorithm::kEdDSA, "EdDSA"},
      {access::SigningAlgorithm::kES256, "ES256"},
  }};
};
template <>
struct llm::json::Fields<llm::access::TokenSettings> {
  static const Table<access::TokenSettings>& table();
};
