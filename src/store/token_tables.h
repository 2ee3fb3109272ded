#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/database.h"

// Signing keys and refresh tokens. Times: milliseconds since 1970.
namespace llm::store {

struct SigningKeyRow {
  std::string id;           // `kid`
  std::string algorithm;    // "EdDSA", "ES256"
  std::string public_jwk;   // JSON
  std::string private_key;  // encrypted by its owner
  std::int64_t created = 0;
  std::int64_t signs_until = 0;     // afterwards it only verifies
  std::int64_t verifies_until = 0;  // afterwards it may be removed
};
Result<std::vector<SigningKeyRow>> signing_keys(Session& session);
// kAlreadyExists if another gateway inserted one whose signs_until is later than `unless_signs_until`: read again then.
Result<void> insert_signing_key(Session& session, const SigningKeyRow& row, std::int64_t unless_signs_until);
Result<void> remove_signing_keys(Session& session, std::int64_t verified_before);

struct RefreshTokenRow {
  std::string id;      // public part
  std::string family;  // all that came out of one sign-in
  std::string hash;    // 32 bytes
  std::string key;     // the API key that was traded in
  std::string scopes;  // space separated; empty: all of the key's
  std::int64_t created = 0;
  std::int64_t expires = 0;
  std::int64_t used = 0;  // traded in for a new one
  std::int64_t revoked = 0;
};
Result<void> insert_refresh_token(Session& session, const RefreshTokenRow& row);
Result<std::optional<RefreshTokenRow>> find_refresh_token(Session& session, const std::string& id);
// False if it was used or revoked already: somebody else was first.
Result<bool> use_refresh_token(Session& session, const std::string& id, std::int64_t now);
Result<void> revoke_refresh_family(Session& session, const std::string& family, std::int64_t now);
Result<void> remove_refresh_tokens(Session& session, std::int64_t expired_before);

// Access tokens that were revoked before they expire, by `jti`.
struct RevokedTokenRow {
  std::string jti;
  std::int64_t expires = 0;
  std::int64_t revoked = 0;
};
Result<void> insert_revoked_token(Session& session, const RevokedTokenRow& row);  // twice is once
Result<std::vector<RevokedTokenRow>> revoked_tokens(Session& session, std::int64_t revoked_since);
Result<void> remove_revoked_tokens(Session& session, std::int64_t expired_before);

}  // namespace llm::store
