#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "json/json.h"

namespace llm::access {

class Jwk;

// Algorithms of JSON Web Signatures: RFC 7518 section 3.1, RFC 8037. There is no "none".
enum class JwsAlgorithm : std::uint8_t {
  kEdDSA,
  kES256,
  kES384,
  kES512,
  kRS256,
  kRS384,
  kRS512,
  kPS256,
  kPS384,
  kPS512,
  kHS256,
  kHS384,
  kHS512,
};
std::string_view to_string(JwsAlgorithm algorithm);
std::optional<JwsAlgorithm> jws_algorithm(std::string_view name);  // case counts
bool is_symmetric(JwsAlgorithm algorithm);

// A compact JWS (RFC 7515, section 7.1) taken apart. Nothing in it is to be believed before verify_jws().
struct JwsParts {
  JwsAlgorithm algorithm{};
  std::string key_id;  // `kid`; empty: none
  std::string type;    // `typ`
  std::string payload;
  std::string signature;
  std::string_view signed_text;  // of the text it was taken from, which must live as long
};

// Exactly three parts in strict Base64url (no padding, no spaces, no stray bits), of at most `max_bytes`; a header that
// is a JSON object without repeated members, with an `alg` that we know, without `crit` and without `b64`, as nothing
// of that kind is understood here. `jwk`, `jku`, `x5u`, `x5c` are never looked at: a signer does not choose its own
// judge. kUnauthenticated with what is wrong; nothing of the token is repeated.
Result<JwsParts> parse_jws(std::string_view text, std::size_t max_bytes);

// Is the signature right for this key, whose algorithm must be the header's and among `allowed`? Symmetric algorithms
// need a symmetric key, and nobody gets one of those from a JWK Set. kUnauthenticated.
Result<void> verify_jws(const JwsParts& jws, const Jwk& key, std::span<const JwsAlgorithm> allowed);

// Signs with a private key; EdDSA and ES256. `type` becomes `typ`, the key's id `kid`.
Result<std::string> sign_jws(const Jwk& key, std::string_view type, std::string_view payload);

// The document, if no object in it has a member twice (RFC 8259 leaves open which would count).
Result<json::value> parse_without_duplicates(std::string_view text);

}  // namespace llm::access
