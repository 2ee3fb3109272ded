#include "access/jwt/foreign_issuer.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "access/jwt/foreign_issuer_fixture.h"

namespace llm::access {
namespace {

TEST_F(ForeignIssuerTest, ClaimsAreEnforced) {
  ASSERT_TRUE(good(token()));
  EXPECT_FALSE(good(token(key_, with("aud", "another"))));
  EXPECT_FALSE(good(token(key_, with("aud", json::array{"another"}))));
  EXPECT_TRUE(good(token(key_, with("aud", json::array{"another", "gateway"}))));
  EXPECT_FALSE(good(token(key_, with("exp", now_ / 1000 - 30))));
  EXPECT_FALSE(good(token(key_, with("iat", (now_ - 86'400'000) / 1000 - 31))));
  EXPECT_FALSE(good(token(key_, with("nbf", now_ / 1000 + 31))));
  EXPECT_FALSE(good(token(key_, with("sub", ""))));
  EXPECT_TRUE(good(provider_.sign(key_, claims(), "JWT")));
  EXPECT_FALSE(good(provider_.sign(key_, claims(), "logout+jwt")));
}

// Tokens that the same provider signs with the same key for other purposes.
TEST_F(ForeignIssuerTest, WhatIsNoAccessTokenIsRefused) {
  for (const char* type : {"ID", "Refresh", "Offline", "Logout", "id"}) {
    EXPECT_EQ(error(token(key_, with("typ", type))), ErrorCode::kUnauthenticated) << type;
  }
  EXPECT_TRUE(good(token(key_, with("typ", "Bearer"))));
  for (const std::string_view claim : {"at_hash", "c_hash", "events"})
    EXPECT_FALSE(good(token(key_, with(claim, "x"))));
}

TEST_F(ForeignIssuerTest, RequiredClaims) {
  settings_.required_claims = {{"azp", "my-app"}, {"email_verified", "true"}};
  auto object = claims();
  EXPECT_FALSE(good(token(key_, object)));
  object["azp"] = "my-app";
  EXPECT_FALSE(good(token(key_, object)));
  object["email_verified"] = false;
  EXPECT_FALSE(good(token(key_, object)));
  object["email_verified"] = true;
  EXPECT_TRUE(good(token(key_, object)));
  object["azp"] = json::array{"x", "my-app"};
  EXPECT_TRUE(good(token(key_, object)));
}

TEST_F(ForeignIssuerTest, Roles) {
  const auto roles = [&](const json::value& claim) -> std::vector<std::string> {
    const auto result = verify(token(key_, with("realm_access", json::object{{"roles", claim}})));
    if (!result) EXPECT_EQ(result.error().code, ErrorCode::kPermissionDenied);
    return result ? (*result)->roles : std::vector<std::string>{};
  };
  using Roles = std::vector<std::string>;
  EXPECT_EQ(roles(json::array{"llm-admins", "llm-users", "llm-users"}), (Roles{"admin", "user"}));
  EXPECT_EQ(roles("llm-users"), Roles{"user"});
  EXPECT_EQ(roles(json::array{}), Roles{});
  EXPECT_EQ(roles(json::array{"admin"}), Roles{}) << "a role's name here is no value there";
  EXPECT_EQ(roles(json::array{"LLM-users"}), Roles{});
  EXPECT_EQ(roles(5), Roles{});
  verifier_.reset();
  settings_.default_role = "viewer";
  EXPECT_EQ(roles(json::array{}), Roles{"viewer"});
  EXPECT_EQ(roles(json::array{"llm-users"}), Roles{"user"});
}

TEST_F(ForeignIssuerTest, Projects) {
  settings_.project_claim = "tenant";
  settings_.projects = {{"t-1", "alpha"}, {"t-2", "beta"}};
  const auto project = [&](const json::value& tenant) -> std::string {
    const auto result = verify(token(key_, with("tenant", tenant)));
    if (!result) EXPECT_EQ(result.error().code, ErrorCode::kPermissionDenied);
    return result ? (*result)->project : "-";
  };
  EXPECT_EQ(project("t-1"), "alpha");
  EXPECT_EQ(project(json::array{"other", "t-2"}), "beta");
  EXPECT_EQ(project("other"), "-");
  EXPECT_EQ(project("alpha"), "-");
  verifier_.reset();
  settings_.default_project = "guests";
  EXPECT_EQ(project("other"), "guests");
}

TEST_F(ForeignIssuerTest, Scopes) {
  const auto scopes_of = [&](std::string_view claim, const json::value& value) {
    return (*verify(token(key_, with(claim, value))))->scopes;
  };
  EXPECT_EQ(scopes_of("scope", "openid profile"), PermissionSet::all());
  EXPECT_EQ(scopes_of("scope", "openid generate"), PermissionSet{Permission::kGenerate});
  EXPECT_EQ(scopes_of("scp", "models:read"), PermissionSet{Permission::kModelsRead});
  EXPECT_EQ(scopes_of("scp", json::array{"models:read", "x"}), PermissionSet{Permission::kModelsRead});
  verifier_.reset();
  settings_.require_scopes = true;
  EXPECT_TRUE(scopes_of("scope", "openid profile").empty());
  EXPECT_TRUE(scopes_of("other", "generate").empty());
  EXPECT_EQ(scopes_of("scope", "generate"), PermissionSet{Permission::kGenerate});
}

TEST_F(ForeignIssuerTest, ATokenWithoutAKeyIdIsTriedWithTheKeysThatFit) {
  auto anonymous = key_.public_json();
  anonymous.erase("kid");
  provider_.answers["/keys"].body =
      json::write(json::object{{"keys", json::array{Jwk::generate(JwsAlgorithm::kEdDSA)->public_json(), anonymous}}});
  EXPECT_TRUE(good(token()));
}

}  // namespace
}  // namespace llm::access
