#include "access/jwt/claims.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "net/base64.h"

namespace llm::access {
namespace {

constexpr std::int64_t kNow = 1'800'000'000'000;
constexpr std::int64_t kNowS = kNow / 1000;
constexpr std::size_t kMax = 16 * 1024;

const ClaimRules kRules{.issuer = "https://issuer.example",
                        .audience = {"gateway", "other-name"},
                        .types = {"at+jwt"},
                        .leeway_ms = 30'000,
                        .max_age_ms = -1,
                        .need_jti = true};

// Unsigned: what is tested here comes after the signature.
Result<UnverifiedToken> token_of(std::string_view claims, std::string_view type = R"(,"typ":"at+jwt")") {
  return take_apart(
      base64url_encode(R"({"alg":"EdDSA")" + std::string(type) + "}") + "." + base64url_encode(claims) + ".c2ln", kMax);
}

// Good claims, with `changes` in the place of members of that name (an empty text: dropped).
std::string claims(const std::vector<std::pair<std::string, std::string>>& changes = {}) {
  std::vector<std::pair<std::string, std::string>> members = {
      {"iss", R"("https://issuer.example")"}, {"aud", R"("gateway")"}, {"sub", R"("somebody")"},
      {"exp", std::to_string(kNowS + 600)},   {"jti", R"("id-1")"},
  };
  for (const auto& [name, value] : changes) {
    std::erase_if(members, [&](const auto& one) { return one.first == name; });
    if (!value.empty()) members.emplace_back(name, value);
  }
  std::string out;
  for (const auto& [name, value] : members) out += fmt::format(R"({}"{}":{})", out.empty() ? "{" : ",", name, value);
  return out + "}";
}

Result<RegisteredClaims> check(std::string_view text, const ClaimRules& rules = kRules) {
  const auto token = token_of(text);
  if (!token) return fail(token.error());
  return check_claims(*token, rules, kNow);
}

TEST(Claims, GoodOnesAreRead) {
  const auto read = check(claims({{"iat", std::to_string(kNowS - 5)}}));
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_EQ(read->subject, "somebody");
  EXPECT_EQ(read->jti, "id-1");
  EXPECT_EQ(read->expires, kNow + 600'000);
  EXPECT_EQ(read->issued, kNow - 5'000);
}

// attacks.md 1.3: times as floats, huge, negative, strings; and at the edges of the leeway.
TEST(Claims, Times) {
  struct Case {
    std::string name;
    std::string value;
    bool good;
  };
  const auto at = [](std::int64_t offset) { return std::to_string(kNowS + offset); };
  const std::vector<Case> cases = {
      {"exp", "", false},
      {"exp", at(1), true},
      {"exp", at(0), true},  // within the leeway
      {"exp", at(-29), true},
      {"exp", at(-30), false},
      {"exp", at(-29) + ".5", true},
      {"exp", at(-30) + ".5", true},   // half a second before it is over: -29.5
      {"exp", at(-31) + ".5", false},  // -30.5
      {"exp", at(600) + ".0", true},
      {"exp", "1.8000006e9", true},
      {"exp", "253402300799", true},  // the last second of the year 9999
      {"exp", "253402300800", false},
      {"exp", "9223372036854775807", false},
      {"exp", "18446744073709551615", false},
      {"exp", "18446744073709551616", false},
      {"exp", "1e300", false},
      {"exp", "1e400", false},
      {"exp", "-1", false},
      {"exp", "-0", false},  // 1970
      {"exp", "0", false},
      {"exp", "-1e300", false},
      {"exp", "\"" + at(600) + "\"", false},
      {"exp", "null", false},
      {"exp", "true", false},
      {"exp", "[" + at(600) + "]", false},
      {"exp", "{}", false},
      {"exp", "NaN", false},
      {"exp", "Infinity", false},
      {"exp", "0x7FFFFFFF", false},
      {"nbf", at(0), true},
      {"nbf", at(30), true},
      {"nbf", at(31), false},
      {"nbf", at(30) + ".5", false},
      {"nbf", "0", true},
      {"nbf", "-1", false},
      {"nbf", "1e300", false},
      {"nbf", "\"0\"", false},
      {"nbf", "null", false},
      {"iat", at(0), true},
      {"iat", at(30), true},
      {"iat", at(31), false},
      {"iat", "0", true},
      {"iat", "0.5", true},
      {"iat", "-1", false},
      {"iat", "9223372036854775807", false},
      {"iat", "\"0\"", false},
      {"iat", "null", false},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(check(claims({{one.name, one.value}})).has_value(), one.good) << one.name << " " << one.value;
  }
}

TEST(Claims, MaxAge) {
  ClaimRules rules = kRules;
  rules.max_age_ms = 60'000;
  const auto at = [](std::int64_t offset) { return std::to_string(kNowS + offset); };
  EXPECT_TRUE(check(claims({{"iat", at(0)}}), rules));
  EXPECT_TRUE(check(claims({{"iat", at(-89)}}), rules));
  EXPECT_FALSE(check(claims({{"iat", at(-90)}}), rules));
  EXPECT_FALSE(check(claims(), rules)) << "without iat nobody knows";
}

TEST(Claims, Names) {
  struct Case {
    std::string name;
    std::string value;
    bool good;
  };
  const std::vector<Case> cases = {
      {"iss", "", false},
      {"iss", R"("https://issuer.example/")", false},
      {"iss", R"("https://ISSUER.example")", false},
      {"iss", R"("https://issuer.example.evil.example")", false},
      {"iss", R"(["https://issuer.example"])", false},
      {"iss", "null", false},
      {"iss", R"("")", false},
      {"aud", "", false},
      {"aud", R"("gateway")", true},
      {"aud", R"("other-name")", true},
      {"aud", R"(["gateway"])", true},
      {"aud", R"(["a","gateway","b"])", true},
      {"aud", R"(["a","b"])", false},
      {"aud", R"(["gateway",5])", false},
      {"aud", R"([["gateway"]])", false},
      {"aud", "[]", false},
      {"aud", R"("")", false},
      {"aud", R"("Gateway")", false},
      {"aud", R"("gateway other-name")", false},
      {"aud", R"("gateway ")", false},
      {"aud", R"({"gateway":true})", false},
      {"aud", "true", false},
      {"aud", "null", false},
      {"sub", "", false},
      {"sub", R"("")", false},
      {"sub", "7", false},
      {"sub", "null", false},
      {"sub", R"("a\nb")", false},
      {"sub", R"("a\u0000b")", false},
      {"sub", "\"" + std::string(512, 's') + "\"", true},
      {"sub", "\"" + std::string(513, 's') + "\"", false},
      {"jti", "", false},
      {"jti", R"("")", false},
      {"jti", "1", false},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(check(claims({{one.name, one.value}})).has_value(), one.good) << one.name << " " << one.value;
  }
}

TEST(Claims, AForeignTokenNeedsNoId) {
  ClaimRules rules = kRules;
  rules.need_jti = false;
  EXPECT_TRUE(check(claims({{"jti", ""}}), rules));
  EXPECT_FALSE(check(claims({{"jti", "1"}}), rules));
}

TEST(Claims, Types) {
  const auto good = [](std::string_view header, std::vector<std::string> types) {
    ClaimRules rules = kRules;
    rules.types = std::move(types);
    const auto token = token_of(claims(), header);
    return token && check_claims(*token, rules, kNow).has_value();
  };
  EXPECT_TRUE(good(R"(,"typ":"at+jwt")", {"at+jwt"}));
  EXPECT_TRUE(good(R"(,"typ":"AT+JWT")", {"at+jwt"}));
  EXPECT_TRUE(good(R"(,"typ":"application/at+jwt")", {"at+jwt"}));
  EXPECT_TRUE(good(R"(,"typ":"JWT")", {"at+jwt", "JWT"}));
  EXPECT_FALSE(good(R"(,"typ":"JWT")", {"at+jwt"}));
  EXPECT_FALSE(good(R"(,"typ":"logout+jwt")", {"at+jwt", "JWT"}));
  EXPECT_FALSE(good(R"(,"typ":"dpop+jwt")", {"at+jwt", "JWT"}));
  EXPECT_FALSE(good(R"(,"typ":"secevent+jwt")", {"at+jwt", "JWT"}));
  EXPECT_FALSE(good(R"(,"typ":"")", {"at+jwt"}));
  EXPECT_FALSE(good("", {"at+jwt", "JWT"}));
  EXPECT_TRUE(good("", {"at+jwt", ""}));
  EXPECT_FALSE(good(R"(,"typ":"application/")", {"at+jwt"}));
}

TEST(Claims, WhatIsNoObjectWithEachMemberOnceIsRefused) {
  const std::string good = claims();
  ASSERT_TRUE(token_of(good));
  const std::string body = good.substr(1);
  const std::vector<std::string> texts = {
      "",
      "null",
      "[]",
      "\"a\"",
      "{",
      good + " x",
      R"({"iss":"a",)" + body,
      R"({"exp":1,)" + body,
      R"({"\u0065xp":1,)" + body,
      R"({"x":{"a":1,"b":{"a":1,"a":2}},)" + body,
      R"({"x":[{"a":1,"a":1}],)" + body,
      R"({"x":)" + std::string(40, '[') + std::string(40, ']') + "," + body,
      "{\"x\":\"\xFF\"," + body,
  };
  for (const auto& text : texts) EXPECT_FALSE(token_of(text)) << text;
  // The same name in different objects is no repetition.
  EXPECT_TRUE(token_of(R"({"x":{"a":1},"y":[{"a":1},{"a":2}],"a":1,)" + body));
  // Longer than the parser's first buffer for keys.
  const std::string key(5000, 'k');
  EXPECT_FALSE(token_of(R"({")" + key + R"(":1,")" + key + R"(":2})"));
  EXPECT_TRUE(token_of(R"({")" + key + R"(":1,")" + key + R"(2":2})"));
}

TEST(Claims, ValuesAtAPath) {
  const auto claims =
      json::parse(
          R"({"roles":["a",5,"b"],"one":"x","realm_access":{"roles":["r"],"deep":{"er":"v"}},)"
          R"("https://example.com/roles":["dotted"],"flag":true,"number":7,"nothing":null,"a":{"b":1},"a.b":"own"})")
          .value()
          .as_object();
  using Values = std::vector<std::string>;
  EXPECT_EQ(claim_values(claims, "roles"), (Values{"a", "b"}));
  EXPECT_EQ(claim_values(claims, "one"), Values{"x"});
  EXPECT_EQ(claim_values(claims, "realm_access.roles"), Values{"r"});
  EXPECT_EQ(claim_values(claims, "realm_access.deep.er"), Values{"v"});
  EXPECT_EQ(claim_values(claims, "https://example.com/roles"), Values{"dotted"});
  EXPECT_EQ(claim_values(claims, "a.b"), Values{"own"});
  EXPECT_EQ(claim_values(claims, "flag"), Values{"true"});
  for (const auto path : {"", ".", "number", "nothing", "missing", "roles.a", "one.x", "realm_access", "realm_access.",
                          ".roles", "realm_access..roles", "realm_access.roles.r"}) {
    EXPECT_EQ(claim_values(claims, path), Values{}) << path;
  }
}

}  // namespace
}  // namespace llm::access
