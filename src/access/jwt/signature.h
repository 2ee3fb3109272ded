#pragma once

#include <string>
#include <string_view>

#include "access/jwt/jws.h"
#include "base/error.h"

// The arithmetic of signatures, in the formats of RFC 7518 and RFC 8037. Inside access/jwt only: whoever calls this has
// made sure that the key fits the algorithm.
namespace llm::access {

bool signature_is_right(JwsAlgorithm algorithm, const Jwk& key, std::string_view text, std::string_view signature);
// EdDSA and ES256 with a private key.
Result<std::string> make_signature(JwsAlgorithm algorithm, const Jwk& key, std::string_view text);

}  // namespace llm::access
