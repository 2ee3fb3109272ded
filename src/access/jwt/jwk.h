#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "access/jwt/jws.h"
#include "base/error.h"
#include "json/json.h"

extern "C" {
struct evp_pkey_st;
}

namespace llm::access {

// A key for signatures (RFC 7517): OKP (Ed25519), EC (P-256, P-384, P-521), RSA of 2048 to 8192 bits, or, where
// somebody configures one on purpose, a symmetric key. A value; immutable, so any thread may use it.
class Jwk {
 public:
  // The public key in a JWK. Private members are dropped unread. kInvalidArgument with what is wrong: an unknown type,
  // a symmetric key (nobody publishes a secret), a weak or broken key, one that is not meant for verifying signatures
  // (`use`, `key_ops`), an `alg` that does not fit its type.
  static Result<Jwk> parse(const json::object& document);
  // kInvalidArgument unless it is as long as the algorithm's hash (RFC 7518, section 3.2).
  static Result<Jwk> symmetric(JwsAlgorithm algorithm, std::string key_id, std::string_view secret);
  // A new private key; EdDSA or ES256. Its id is its thumbprint (RFC 7638).
  static Result<Jwk> generate(JwsAlgorithm algorithm);
  // What private_bytes() gave; the id is the thumbprint.
  static Result<Jwk> from_private_bytes(JwsAlgorithm algorithm, std::string_view pkcs8);

  const std::string& id() const { return id_; }
  std::optional<JwsAlgorithm> algorithm() const {
    return algorithm_;
  }  // `alg`, or what the type leaves as the only one
  bool fits(JwsAlgorithm algorithm) const;
  bool is_private() const { return private_; }

  // {"kty", …, "kid", "use": "sig", "alg"}: never a private member. Empty for a symmetric key.
  json::object public_json() const;
  std::string thumbprint() const;
  // PKCS #8, DER. A secret: only ever sealed.
  std::string private_bytes() const;

  evp_pkey_st* handle() const { return key_.get(); }
  std::string_view secret() const { return secret_ ? std::string_view(*secret_) : std::string_view(); }

 private:
  enum class Type : std::uint8_t { kOkp, kEc, kRsa, kOct };
  friend struct JwkReader;
  static Result<Jwk> of_private(JwsAlgorithm algorithm, std::shared_ptr<evp_pkey_st> key);

  Type type_ = Type::kOkp;
  std::string id_;
  std::optional<JwsAlgorithm> algorithm_;
  std::size_t curve_bits_ = 0;  // EC: 256, 384, 521
  bool private_ = false;
  std::shared_ptr<evp_pkey_st> key_;           // shared by copies; OpenSSL's own count would do the same
  std::shared_ptr<const std::string> secret_;  // wiped with the last copy
};

// The usable keys of a JWK Set, in its order; others are left out, as RFC 7517 section 5 says. kInvalidArgument if it
// is no JWK Set, or if it has more than a hundred keys.
Result<std::vector<Jwk>> parse_jwk_set(std::string_view text);
std::string write_jwk_set(const std::vector<Jwk>& keys);

}  // namespace llm::access
