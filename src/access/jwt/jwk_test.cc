#include "access/jwt/jwk.h"

#include <array>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "net/base64.h"

namespace llm::access {
namespace {

json::object object_of(std::string_view text) {
  return json::parse(text).value().as_object();
}

// The keys of RFC 7515 (A.3, A.2) and RFC 8037 (A.2).
constexpr std::string_view kEc =
    R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})";
constexpr std::string_view kOkp = R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})";
constexpr std::string_view kRsa =
    R"({"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"})";

// With one member set, or dropped by null.
template <class T>
json::object with(std::string_view base, std::string_view name, T value) {
  auto out = object_of(base);
  out[name] = std::move(value);
  if (out[name].is_null()) out.erase(name);
  return out;
}

TEST(Jwk, ReadsAndWritesPublicKeys) {
  for (const auto text : {kEc, kOkp, kRsa}) {
    const auto key = Jwk::parse(with(text, "kid", "a"));
    ASSERT_TRUE(key) << to_string(key.error());
    EXPECT_FALSE(key->is_private());
    const auto written = key->public_json();
    EXPECT_EQ(json::string_or(written, "kid"), "a");
    EXPECT_EQ(json::string_or(written, "use"), "sig");
    for (const auto& [name, value] : object_of(text)) EXPECT_EQ(*json::find(written, name), value) << std::string(name);
    EXPECT_EQ(Jwk::parse(written)->public_json(), written);
  }
}

// RFC 7638 section 3.1 and RFC 8037 A.3.
TEST(Jwk, ThumbprintsAreThoseOfTheStandards) {
  constexpr std::string_view kOfRfc7638 =
      R"({"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"})";
  EXPECT_EQ(Jwk::parse(object_of(kOfRfc7638))->thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
  EXPECT_EQ(Jwk::parse(object_of(kOkp))->thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

TEST(Jwk, RefusesKeys) {
  const std::string short_modulus = base64url_encode("\xC5" + std::string(126, '\x55') + "\x55");
  const std::string long_modulus = base64url_encode("\xC5" + std::string(1200, '\x55') + "\x55");
  const std::vector<json::object> keys = {
      {},
      object_of(R"({"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})"),
      with(kEc, "kty", "ec"),
      with(kEc, "kty", 1),
      with(kEc, "kty", nullptr),
      with(kEc, "crv", "secp256k1"),
      with(kEc, "crv", "P-384"),
      with(kEc, "crv", nullptr),
      with(kEc, "x", "AAAA"),
      with(kEc, "x", ""),
      with(kEc, "x", 5),
      with(kEc, "x", nullptr),
      with(kEc, "y", "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),  // off the curve
      with(kEc, "y", std::string("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0=")),
      with(kEc, "x", base64url_encode(std::string(32, '\0'))),
      with(kEc, "alg", "ES384"),
      with(kEc, "alg", "RS256"),
      with(kEc, "alg", "HS256"),
      with(kEc, "alg", "none"),
      with(kEc, "alg", 1),
      with(kEc, "use", "enc"),
      with(kEc, "use", 1),
      with(kEc, "key_ops", json::array{"encrypt"}),
      with(kEc, "key_ops", json::array{}),
      with(kEc, "key_ops", "verify"),
      with(kEc, "kid", 5),
      with(kOkp, "crv", "X25519"),
      with(kOkp, "crv", "Ed448"),
      with(kOkp, "x", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUR"),
      with(kOkp, "alg", "ES256"),
      with(kRsa, "n", short_modulus),
      with(kRsa, "n", long_modulus),
      with(kRsa, "n", nullptr),
      with(kRsa, "e", "AQ"),    // 1
      with(kRsa, "e", "AQAA"),  // even
      with(kRsa, "e", "AA"),
      with(kRsa, "e", base64url_encode(std::string(9, '\xFF'))),
      with(kRsa, "e", nullptr),
      with(kRsa, "alg", "ES256"),
      with(kRsa, "alg", "HS256"),
  };
  for (const auto& key : keys) {
    const auto parsed = Jwk::parse(key);
    EXPECT_FALSE(parsed) << json::write(key);
    if (!parsed) EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(Jwk, PurposesThatAllowVerifyingAreFine) {
  EXPECT_TRUE(Jwk::parse(with(kEc, "use", "sig")));
  EXPECT_TRUE(Jwk::parse(with(kEc, "key_ops", json::array{"verify"})));
  EXPECT_TRUE(Jwk::parse(with(kEc, "key_ops", json::array{"sign", "verify"})));
}

TEST(Jwk, AKeyIsForItsAlgorithmsOnly) {
  const auto ec = Jwk::parse(object_of(kEc)).value();
  const auto okp = Jwk::parse(object_of(kOkp)).value();
  const auto rsa = Jwk::parse(object_of(kRsa)).value();
  const auto ps512 = Jwk::parse(with(kRsa, "alg", "PS512")).value();
  const auto secret = Jwk::symmetric(JwsAlgorithm::kHS256, "s", std::string(64, 'x')).value();
  constexpr std::array kAll = {JwsAlgorithm::kEdDSA, JwsAlgorithm::kES256, JwsAlgorithm::kES384, JwsAlgorithm::kES512,
                               JwsAlgorithm::kRS256, JwsAlgorithm::kRS384, JwsAlgorithm::kRS512, JwsAlgorithm::kPS256,
                               JwsAlgorithm::kPS384, JwsAlgorithm::kPS512, JwsAlgorithm::kHS256, JwsAlgorithm::kHS384,
                               JwsAlgorithm::kHS512};
  for (const auto algorithm : kAll) {
    const auto name = to_string(algorithm);
    EXPECT_EQ(jws_algorithm(name), algorithm);
    EXPECT_EQ(ec.fits(algorithm), name == "ES256") << name;
    EXPECT_EQ(okp.fits(algorithm), name == "EdDSA") << name;
    EXPECT_EQ(rsa.fits(algorithm), name.starts_with("RS") || name.starts_with("PS")) << name;
    EXPECT_EQ(ps512.fits(algorithm), name == "PS512") << name;
    EXPECT_EQ(secret.fits(algorithm), name == "HS256") << name;
  }
}

// A set that shows its private keys: the public halves are read, the rest is neither kept nor written.
TEST(Jwk, PrivateMembersOfOthersAreDropped) {
  auto okp = with(kOkp, "d", "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
  const auto key = Jwk::parse(okp).value();
  EXPECT_FALSE(key.is_private());
  EXPECT_FALSE(key.public_json().contains("d"));
  EXPECT_TRUE(key.private_bytes().empty());
  EXPECT_FALSE(sign_jws(key, "at+jwt", "{}"));
}

TEST(Jwk, NewKeysSurviveTheirBytes) {
  for (const auto algorithm : {JwsAlgorithm::kEdDSA, JwsAlgorithm::kES256}) {
    const auto key = Jwk::generate(algorithm).value();
    EXPECT_TRUE(key.is_private());
    EXPECT_EQ(key.id(), key.thumbprint());
    EXPECT_FALSE(key.public_json().contains("d"));
    const auto again = Jwk::from_private_bytes(algorithm, key.private_bytes()).value();
    EXPECT_EQ(again.id(), key.id());
    EXPECT_EQ(again.private_bytes(), key.private_bytes());
    EXPECT_NE(Jwk::generate(algorithm)->id(), key.id());
    // Not under another algorithm's name.
    const auto other = algorithm == JwsAlgorithm::kEdDSA ? JwsAlgorithm::kES256 : JwsAlgorithm::kEdDSA;
    EXPECT_FALSE(Jwk::from_private_bytes(other, key.private_bytes()));
  }
  EXPECT_FALSE(Jwk::generate(JwsAlgorithm::kRS256));
  EXPECT_FALSE(Jwk::generate(JwsAlgorithm::kHS256));
  EXPECT_FALSE(Jwk::from_private_bytes(JwsAlgorithm::kEdDSA, ""));
  EXPECT_FALSE(Jwk::from_private_bytes(JwsAlgorithm::kEdDSA, "no key"));
}

TEST(JwkSet, KeepsWhatItCanUse) {
  const std::string text = R"({"keys":[)" + std::string(kEc) + R"(,{"kty":"oct","k":"AAAA"},{"kty":"future"},5,)" +
                           std::string(kOkp) + R"(,{"use":"enc",)" + std::string(kRsa.substr(1)) + R"(],"more":1})";
  const auto keys = parse_jwk_set(text);
  ASSERT_TRUE(keys) << to_string(keys.error());
  ASSERT_EQ(keys->size(), 2U);
  EXPECT_TRUE((*keys)[0].fits(JwsAlgorithm::kES256));
  EXPECT_TRUE((*keys)[1].fits(JwsAlgorithm::kEdDSA));
  EXPECT_EQ(parse_jwk_set(write_jwk_set(*keys))->size(), 2U);
}

TEST(JwkSet, RefusesWhatIsNone) {
  std::string many = R"({"keys":[)";
  for (int i = 0; i < 101; ++i) many += i == 0 ? "{}" : ",{}";
  many += "]}";
  for (const std::string& text : {std::string(), std::string("[]"), std::string("{}"), std::string(R"({"keys":{}})"),
                                  std::string(R"({"keys":[],"keys":[]})"), std::string(kEc), many}) {
    EXPECT_FALSE(parse_jwk_set(text)) << text;
  }
  EXPECT_TRUE(parse_jwk_set(R"({"keys":[]})"));
}

}  // namespace
}  // namespace llm::access
