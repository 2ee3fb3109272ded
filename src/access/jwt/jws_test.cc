#include "access/jwt/jws.h"

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string>
#include <vector>

#include "access/jwt/jwk.h"
#include "access/jwt/signature.h"
#include "net/base64.h"

namespace llm::access {
namespace {

constexpr std::size_t kMax = 16 * 1024;
constexpr std::array kAll = {JwsAlgorithm::kEdDSA, JwsAlgorithm::kES256, JwsAlgorithm::kES384, JwsAlgorithm::kES512,
                             JwsAlgorithm::kRS256, JwsAlgorithm::kRS384, JwsAlgorithm::kRS512, JwsAlgorithm::kPS256,
                             JwsAlgorithm::kPS384, JwsAlgorithm::kPS512, JwsAlgorithm::kHS256, JwsAlgorithm::kHS384,
                             JwsAlgorithm::kHS512};

const Jwk& ed_key() {
  static const Jwk key = Jwk::generate(JwsAlgorithm::kEdDSA).value();
  return key;
}
const Jwk& ec_key() {
  static const Jwk key = Jwk::generate(JwsAlgorithm::kES256).value();
  return key;
}

bool accepted(std::string_view token, const Jwk& key, std::span<const JwsAlgorithm> allowed = kAll) {
  const auto parts = parse_jws(token, kMax);
  return parts && verify_jws(*parts, key, allowed);
}

std::string with_header(std::string_view header, std::string_view signature = "c2ln") {
  return base64url_encode(header) + ".e30." + std::string(signature);
}

// The parts of a good token, to spoil one of them.
struct Parts {
  explicit Parts(const Jwk& key) {
    const std::string token = sign_jws(key, "at+jwt", R"({"sub":"a"})").value();
    const auto first = token.find('.');
    const auto second = token.rfind('.');
    header = token.substr(0, first);
    payload = token.substr(first + 1, second - first - 1);
    signature = token.substr(second + 1);
  }
  std::string text() const { return header + "." + payload + "." + signature; }
  std::string header, payload, signature;
};

TEST(Jws, SignsAndVerifies) {
  for (const Jwk* key : {&ed_key(), &ec_key()}) {
    const std::string token = sign_jws(*key, "at+jwt", R"({"sub":"a"})").value();
    const auto parts = parse_jws(token, kMax);
    ASSERT_TRUE(parts);
    EXPECT_EQ(parts->key_id, key->id());
    EXPECT_EQ(parts->type, "at+jwt");
    EXPECT_EQ(parts->payload, R"({"sub":"a"})");
    EXPECT_TRUE(verify_jws(*parts, *key, kAll));
    // The public half alone does it, too.
    EXPECT_TRUE(verify_jws(*parts, Jwk::parse(key->public_json()).value(), kAll));
  }
}

TEST(Jws, AnyChangedBitIsNoticed) {
  for (const Jwk* key : {&ed_key(), &ec_key()}) {
    const std::string token = Parts(*key).text();
    for (std::size_t at = 0; at < token.size(); ++at) {
      std::string changed = token;
      changed[at] = changed[at] == 'A' ? 'B' : 'A';
      EXPECT_FALSE(accepted(changed, *key)) << at;
    }
  }
}

TEST(Jws, AnotherKeyDoesNotVerify) {
  EXPECT_FALSE(accepted(Parts(ed_key()).text(), Jwk::generate(JwsAlgorithm::kEdDSA).value()));
  EXPECT_FALSE(accepted(Parts(ec_key()).text(), Jwk::generate(JwsAlgorithm::kES256).value()));
  EXPECT_FALSE(accepted(Parts(ec_key()).text(), ed_key()));
  EXPECT_FALSE(accepted(Parts(ed_key()).text(), ec_key()));
}

TEST(Jws, AnAlgorithmMustBeAllowed) {
  const std::string token = Parts(ed_key()).text();
  EXPECT_TRUE(accepted(token, ed_key(), std::array{JwsAlgorithm::kEdDSA}));
  EXPECT_FALSE(accepted(token, ed_key(), std::array{JwsAlgorithm::kES256, JwsAlgorithm::kRS256}));
  EXPECT_FALSE(accepted(token, ed_key(), {}));
}

// attacks.md 1.3: `none` in any spelling, no `alg`, and other headers that are not one.
TEST(Jws, RefusesHeaders) {
  const std::string huge(5000, 'a');
  const std::vector<std::string> headers = {
      R"({"alg":"none"})",
      R"({"alg":"None"})",
      R"({"alg":"nOnE"})",
      R"({"alg":"NONE"})",
      R"({})",
      R"({"kid":"a"})",
      R"({"alg":null})",
      R"({"alg":""})",
      R"({"alg":["EdDSA"]})",
      R"({"alg":1})",
      R"({"alg":"eddsa"})",
      R"({"alg":"EdDSA "})",
      R"({"alg":"EdDSA","alg":"EdDSA"})",
      R"({"alg":"none","alg":"EdDSA"})",
      R"({"alg":"EdDSA","\u0061lg":"EdDSA"})",  // the same member, spelt otherwise
      R"({"alg":"EdDSA","jwk":{"x":1,"x":2}})",
      R"({"alg":"EdDSA","crit":["exp"],"exp":1})",
      R"({"alg":"EdDSA","crit":[]})",
      R"({"alg":"EdDSA","crit":["b64"],"b64":false})",
      R"({"alg":"EdDSA","b64":false})",
      R"({"alg":"EdDSA","b64":true})",
      R"({"alg":"EdDSA","kid":7})",
      R"({"alg":"EdDSA","kid":null})",
      R"({"alg":"EdDSA","kid":{"a":1}})",
      R"({"alg":"EdDSA","typ":1})",
      R"({"alg":"EdDSA","kid":")" + std::string(257, 'k') + R"("})",
      R"({"alg":"EdDSA","x":")" + huge + R"("})",
      R"(["EdDSA"])",
      R"("EdDSA")",
      "null",
      "",
      "{",
      R"({"alg":"EdDSA"} x)",
      R"({"alg":"EdDSA",})",
      "\xEF\xBB\xBF{\"alg\":\"EdDSA\"}",
      std::string("{\"alg\":\"EdDSA\"}\0", 16),
      "{\"alg\":\"EdDSA\",\"x\":\"\xFF\"}",
      R"({"alg":"EdDSA","x":)" + std::string(40, '[') + std::string(40, ']') + "}",
  };
  for (const auto& header : headers) {
    const auto parts = parse_jws(with_header(header), kMax);
    EXPECT_FALSE(parts) << header;
    if (!parts) EXPECT_EQ(parts.error().code, ErrorCode::kUnauthenticated) << header;
  }
}

// A `kid` is a name that is looked for among known ones; what it looks like does not matter.
TEST(Jws, TakesAnyKeyIdAsAName) {
  for (const std::string_view id :
       {"../../etc/passwd", "x' OR '1'='1", "\\u0000", "", "%2e%2e%2f", "http://169.254.169.254/"}) {
    const auto parts = parse_jws(with_header(R"({"alg":"EdDSA","kid":")" + std::string(id) + R"("})"), kMax);
    EXPECT_TRUE(parts) << id;
  }
}

TEST(Jws, RefusesShapes) {
  const Parts good(ed_key());
  ASSERT_TRUE(accepted(good.text(), ed_key()));
  const auto& [header, payload, signature] = good;
  const std::vector<std::string> texts = {
      "",
      ".",
      "..",
      "...",
      header,
      header + "." + payload,
      header + "." + payload + ".",
      header + ".." + signature,
      "." + payload + "." + signature,
      good.text() + ".",
      "." + good.text(),
      good.text() + "." + signature,
      good.text() + ".a.b",  // the five parts of a JWE
      header + "=." + payload + "." + signature,
      header + "." + payload + "=." + signature,
      good.text() + "=",
      good.text() + "==",
      " " + good.text(),
      good.text() + " ",
      good.text() + "\n",
      header + ". " + payload + "." + signature,
      header + ".\n" + payload + "." + signature,
      header + "." + payload + "." + signature + std::string(1, '\0'),
      header + "." + payload + "." + signature + "A",
      header + "." + payload + "." + signature + "AAAA",
      header + "." + payload + "." + signature.substr(0, signature.size() - 4),
      R"({"payload":")" + payload + R"(","protected":")" + header + R"(","signature":")" + signature + R"("})",
      R"({"payload":")" + payload + R"(","signatures":[{"protected":")" + header + R"(","signature":")" + signature +
          R"("}]})",
  };
  for (const auto& text : texts) EXPECT_FALSE(accepted(text, ed_key())) << text;
}

// 64 bytes leave four bits of the last character unused; with them set it is another text for the same bytes.
TEST(Jws, RefusesStrayBitsInBase64) {
  const Parts good(ed_key());
  ASSERT_EQ(good.signature.size(), 86U);
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const auto last = alphabet.find(good.signature.back());
  ASSERT_EQ(last % 16, 0U);
  for (std::size_t stray = 1; stray < 16; ++stray) {
    Parts spoilt = good;
    spoilt.signature.back() = alphabet[last + stray];
    EXPECT_FALSE(accepted(spoilt.text(), ed_key()));
  }
}

TEST(Jws, RefusesBase64OfTheOtherAlphabet) {
  // A payload whose Base64 has 62 and 63 in it.
  const std::string token = sign_jws(ed_key(), "at+jwt", "\"\xc3\xbf\xc3\xbe?>~~\"").value();
  ASSERT_TRUE(accepted(token, ed_key()));
  std::string other = token;
  std::ranges::replace(other, '-', '+');
  std::ranges::replace(other, '_', '/');
  ASSERT_NE(other, token);
  EXPECT_FALSE(accepted(other, ed_key()));
}

TEST(Jws, TokensHaveALongestLength) {
  const std::string token = Parts(ed_key()).text();
  EXPECT_TRUE(parse_jws(token, token.size()));
  EXPECT_FALSE(parse_jws(token, token.size() - 1));
}

TEST(Jws, EcSignaturesAreTwoFullNumbers) {
  const Parts good(ec_key());
  const std::string raw = base64url_decode(good.signature).value();
  ASSERT_EQ(raw.size(), 64U);
  const std::string zero(32, '\0');
  const std::string one = std::string(31, '\0') + '\1';
  const auto der = [](std::string_view r, std::string_view s) {
    const auto number = [](std::string_view n) {
      std::string out(n);
      if (static_cast<unsigned char>(out.front()) >= 0x80) out.insert(out.begin(), '\0');
      return std::string("\x02") + static_cast<char>(out.size()) + out;
    };
    const std::string body = number(r) + number(s);
    return std::string("\x30") + static_cast<char>(body.size()) + body;
  };
  const std::string r = raw.substr(0, 32);
  const std::string s = raw.substr(32);
  const std::vector<std::string> signatures = {
      zero + zero,
      zero + one,
      one + zero,
      r + zero,
      zero + s,
      der(r, s),
      raw + '\0',
      '\0' + raw,
      raw.substr(1),
      r + '\0' + s + '\0',
      std::string("\0", 1) + r + std::string("\0", 1) + s,
      s + r,
      std::string(64, '\xFF'),
      r,
      "",
  };
  for (const auto& signature : signatures) {
    EXPECT_FALSE(accepted(good.header + "." + good.payload + "." + base64url_encode(signature), ec_key()));
  }
}

// RFC 8725, section 2.1: the public key taken for the secret of an HMAC.
TEST(Jws, APublicKeyIsNoSecret) {
  const std::string jwk = json::write(ed_key().public_json());
  const std::string raw = base64url_decode(json::string_or(ed_key().public_json(), "x")).value();
  for (const std::string& secret : {jwk, raw}) {
    const auto forger = Jwk::symmetric(JwsAlgorithm::kHS256, ed_key().id(), secret).value();
    const std::string text = base64url_encode(R"({"alg":"HS256","typ":"at+jwt","kid":")" + ed_key().id() + R"("})") +
                             "." + base64url_encode(R"({"sub":"a"})");
    // The same MAC verifies with the symmetric key, so it is right and only the key's type stands in the way.
    const auto mac = [&] {
      std::array<unsigned char, 64> out{};
      unsigned size = 0;
      HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data(), &size);
      return base64url_encode({reinterpret_cast<const char*>(out.data()), size});
    }();
    EXPECT_TRUE(accepted(text + "." + mac, forger));
    EXPECT_FALSE(accepted(text + "." + mac, ed_key()));
  }
}

TEST(Jws, WeakSecretsAreRefused) {
  EXPECT_TRUE(Jwk::symmetric(JwsAlgorithm::kHS256, "k", std::string(32, 'x')));
  EXPECT_FALSE(Jwk::symmetric(JwsAlgorithm::kHS256, "k", std::string(31, 'x')));
  EXPECT_TRUE(Jwk::symmetric(JwsAlgorithm::kHS384, "k", std::string(48, 'x')));
  EXPECT_FALSE(Jwk::symmetric(JwsAlgorithm::kHS384, "k", std::string(47, 'x')));
  EXPECT_TRUE(Jwk::symmetric(JwsAlgorithm::kHS512, "k", std::string(64, 'x')));
  EXPECT_FALSE(Jwk::symmetric(JwsAlgorithm::kHS512, "k", std::string(63, 'x')));
  EXPECT_FALSE(Jwk::symmetric(JwsAlgorithm::kHS256, "k", ""));
  EXPECT_FALSE(Jwk::symmetric(JwsAlgorithm::kEdDSA, "k", std::string(64, 'x')));
}

// A token that brings its own key, or says where it is, is judged by ours.
TEST(Jws, EmbeddedKeysAreIgnored) {
  const Jwk attacker = Jwk::generate(JwsAlgorithm::kEdDSA).value();
  for (const std::string& extra :
       {R"("jwk":)" + json::write(attacker.public_json()), std::string(R"("jku":"http://127.0.0.1:1/jwks")"),
        std::string(R"("x5u":"http://127.0.0.1:1/x5u")"), std::string(R"("x5c":["AAAA"])")}) {
    const std::string header = R"({"alg":"EdDSA","kid":")" + ed_key().id() + R"(",)" + extra + "}";
    const std::string text = base64url_encode(header) + "." + base64url_encode(R"({"sub":"a"})");
    const std::string forged =
        text + "." + base64url_encode(make_signature(JwsAlgorithm::kEdDSA, attacker, text).value());
    EXPECT_TRUE(accepted(forged, attacker)) << header;
    EXPECT_FALSE(accepted(forged, ed_key())) << header;
  }
}

TEST(Jws, ErrorsRepeatNothingOfTheToken) {
  const std::string secret = "c2VjcmV0LXBheWxvYWQ";
  for (const std::string& token :
       {secret, secret + ".x.y", "e30." + secret + ".eA", with_header(R"({"alg":"secret-payload"})")}) {
    const auto parts = parse_jws(token, kMax);
    ASSERT_FALSE(parts);
    EXPECT_FALSE(parts.error().message.contains("secret-payload")) << parts.error().message;
    EXPECT_FALSE(parts.error().message.contains(secret)) << parts.error().message;
  }
}

}  // namespace
}  // namespace llm::access
