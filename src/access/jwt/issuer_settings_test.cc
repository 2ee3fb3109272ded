#include "access/jwt/issuer_settings.h"

#include <functional>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "access/jwt/issuer_fetch.h"
#include "access/jwt/token_issuer.h"
#include "access/jwt/token_verifier.h"

namespace llm::access {
namespace {

TEST(IssuerSettingsTest, BadSettingsAreRefused) {
  IssuerSettings good;
  good.issuer = "https://idp.example/realms/one";
  good.audience = {"gateway"};
  good.default_role = "user";
  ASSERT_TRUE(TokenVerifier::check({{"corp", good}}));
  struct Case {
    std::string pointer;
    std::function<void(IssuerSettings&)> spoil;
  };
  const std::vector<Case> cases = {
      {"/issuer", [](auto& s) { s.issuer = "http://idp.example"; }},
      {"/issuer", [](auto& s) { s.issuer = "idp.example"; }},
      {"/issuer", [](auto& s) { s.issuer = ""; }},
      {"/issuer", [](auto& s) { s.issuer = "https://user:pw1234@idp.example"; }},
      {"/issuer", [](auto& s) { s.issuer = "https://idp.example#x"; }},
      {"/issuer", [](auto& s) { s.issuer = "https://idp.example?x"; }},
      {"/audience", [](auto& s) { s.audience = {}; }},
      {"/audience", [](auto& s) { s.audience = {"a", ""}; }},
      {"/discovery_url", [](auto& s) { s.discovery_url = "http://idp.example/x"; }},
      {"/jwks_uri", [](auto& s) { s.jwks_uri = "file:///etc/keys"; }},
      {"/jwks_uri", [](auto& s) { s.jwks_uri = "unix:/run/keys"; }},
      {"/algorithms", [](auto& s) { s.algorithms = {}; }},
      {"/algorithms", [](auto& s) { s.algorithms = {"none"}; }},
      {"/algorithms", [](auto& s) { s.algorithms = {"RS256", "HS256"}; }},
      {"/algorithms", [](auto& s) { s.algorithms = {"rs256"}; }},
      {"/types", [](auto& s) { s.types = {}; }},
      {"/roles", [](auto& s) { s.default_role = ""; }},
  };
  for (const auto& one : cases) {
    auto settings = good;
    one.spoil(settings);
    const auto refused = TokenVerifier::check({{"corp", settings}});
    ASSERT_FALSE(refused) << one.pointer;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(refused.error().pointer, "/access/issuers/corp" + one.pointer);
    EXPECT_FALSE(refused.error().message.contains("pw1234"));
  }
  EXPECT_FALSE(TokenVerifier::check({{"one", good}, {"two", good}}));
  EXPECT_FALSE(TokenVerifier::check({{"a:b", good}}));
  EXPECT_FALSE(TokenVerifier::check({{"", good}}));
}

TEST(IssuerSettingsTest, ComeFromAConfiguration) {
  const auto document =
      json::parse(R"({"issuer":"https://idp.example","audience":["a"],"roles":{"x":"user"}})").value();
  const auto settings = json::decode<IssuerSettings>(document);
  ASSERT_TRUE(settings) << to_string(settings.error());
  EXPECT_EQ(settings->algorithms, (std::vector<std::string>{"RS256", "ES256", "EdDSA", "PS256"}));
  EXPECT_EQ(settings->types, (std::vector<std::string>{"at+jwt", "JWT"}));
  EXPECT_FALSE(json::decode<IssuerSettings>(json::parse(R"({"issuer":"https://idp.example"})").value()));
  const auto tokens =
      json::decode<TokenSettings>(json::parse(R"({"access_lifetime":"5m","algorithm":"ES256"})").value());
  ASSERT_TRUE(tokens);
  EXPECT_EQ(tokens->access_lifetime.ms, 300'000);
  EXPECT_FALSE(json::decode<TokenSettings>(json::parse(R"({"access_lifetime":"48h"})").value()));
  EXPECT_FALSE(json::decode<TokenSettings>(json::parse(R"({"algorithm":"HS256"})").value()));
}

TEST(IssuerFetch, MaxAge) {
  EXPECT_EQ(max_age_of(""), 600'000);
  EXPECT_EQ(max_age_of("no-cache"), 600'000);
  EXPECT_EQ(max_age_of("max-age=120"), 120'000);
  EXPECT_EQ(max_age_of("public, Max-Age=300, must-revalidate"), 300'000);
  EXPECT_EQ(max_age_of("max-age=0"), 60'000);
  EXPECT_EQ(max_age_of("max-age=-5"), 60'000);
  EXPECT_EQ(max_age_of("max-age=9223372036854775807"), 86'400'000);
  EXPECT_EQ(max_age_of("max-age=99999999999999999999"), 600'000);
  EXPECT_EQ(max_age_of("max-age=x"), 600'000);
  EXPECT_EQ(max_age_of("s-maxage=120"), 600'000);
}

}  // namespace
}  // namespace llm::access
