#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "access/jwt/claims.h"
#include "access/jwt/issuer_fetch.h"
#include "access/jwt/jwk.h"
#include "access/jwt/jws.h"
#include "net/base64.h"

namespace {

using namespace llm;

constexpr std::array kAll = {access::JwsAlgorithm::kEdDSA, access::JwsAlgorithm::kES256, access::JwsAlgorithm::kRS256,
                             access::JwsAlgorithm::kPS256, access::JwsAlgorithm::kHS256};

const access::Jwk& key() {
  static const access::Jwk one = access::Jwk::generate(access::JwsAlgorithm::kES256).value();
  return one;
}

void require(bool fine) {
  if (!fine) std::abort();
}

void as_token(std::string_view text) {
  const auto parts = access::parse_jws(text, 16 * 1024);
  if (parts) {
    require(text.size() <= 16 * 1024);
    // What was read is exactly what stands there: no two texts for one token.
    require(parts->signed_text.size() + 1 + base64url_encode(parts->signature).size() == text.size());
    require(text.ends_with(base64url_encode(parts->signature)));
    require(parts->signed_text.ends_with("." + base64url_encode(parts->payload)));
    require(!access::verify_jws(*parts, key(), kAll));  // the key was made a moment ago
  } else {
    require(parts.error().code == ErrorCode::kUnauthenticated);
  }
  const auto token = access::take_apart(text, 16 * 1024);
  require(!token || parts);
  if (!token) return;
  const access::ClaimRules rules{.issuer = "https://issuer.example", .audience = {"gateway"}, .types = {"at+jwt", ""}};
  const auto claims = access::check_claims(*token, rules, 1'800'000'000'000);
  if (claims) require(!claims->subject.empty() && claims->expires > 1'799'999'000'000);
  access::claim_values(token->claims, "realm_access.roles");
}

// The same bytes as the three parts of a token, so that the fuzzer need not find Base64.
void as_payload(std::string_view text) {
  const auto end = text.find('\n');
  const auto header = text.substr(0, end);
  const auto payload = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  as_token(base64url_encode(header) + "." + base64url_encode(payload) + "." + base64url_encode("signature"));
}

void as_key_set(std::string_view text) {
  const auto keys = access::parse_jwk_set(text);
  if (!keys) return;
  // What was taken is public, and reads back the same.
  const std::string written = access::write_jwk_set(*keys);
  const auto again = access::parse_jwk_set(written);
  require(again && again->size() == keys->size() && access::write_jwk_set(*again) == written);
  for (const auto& one : *keys) require(!one.is_private() && !one.public_json().contains("d"));
}

void as_url(std::string_view text) {
  const auto target = access::fetch_target(text);
  if (!target) return;
  require(target->endpoint.tls || net::is_loopback(target->endpoint.host));
  require(target->target.starts_with('/') && target->endpoint.unix_path.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  as_token(text);
  as_payload(text);
  as_key_set(text);
  as_url(text);
  return 0;
}
