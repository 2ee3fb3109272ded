#include <gtest/gtest.h>

#include "access/authenticator.h"
#include "access/authenticator_under_test.h"
#include "access/foreign_identity.h"

namespace llm::access {
namespace {

using P = Permission;
using Under = AuthenticatorUnderTest;

Credentials from(std::string_view address) {
  Credentials credentials;
  credentials.address = address;
  return credentials;
}

ErrorCode code_of(const Result<Principal>& result) {
  return result ? ErrorCode::kInternal : result.error().code;
}

TEST(AuthenticatorTokens, AnOwnTokenIsItsKeyNarrowedByScopes) {
  Under under;
  std::string key;
  auto row = under.key("operator", R"({"models": ["llama*"]})", &key);
  under.refresh();
  const std::string whole = under.token_of(row.id);
  const std::string narrow = under.token_of(row.id, "models:read");
  const auto first = under.bearer(narrow);
  ASSERT_TRUE(first) << to_string(first.error());
  EXPECT_EQ(first->id, "key:" + row.id);
  EXPECT_EQ(first->key_id(), row.id);
  EXPECT_EQ(first->identity->kind, Identity::Kind::kToken);
  EXPECT_TRUE(first->may(P::kModelsRead, "llama3"));
  EXPECT_FALSE(first->may(P::kModelsRead, "qwen"));
  EXPECT_FALSE(first->may(P::kGenerate, "llama3"));
  EXPECT_TRUE(under.bearer(whole)->may(P::kGenerate, "llama3"));
  // Made once.
  EXPECT_EQ(under.bearer(narrow)->identity, first->identity);

  // What the key loses, the token loses.
  row.role = "viewer";
  under.update(row);
  under.refresh();
  EXPECT_FALSE(under.bearer(whole)->may(P::kGenerate, "llama3"));
  row.revoked = 1;
  under.update(row);
  under.refresh();
  EXPECT_EQ(code_of(under.bearer(whole)), ErrorCode::kUnauthenticated);
}

TEST(AuthenticatorTokens, ForeignTokensGetTheirRolesAndProject) {
  Under under;
  under.project("red");
  under.role("writer",
             R"({"rules": [{"permissions": ["generate"], "models": ["llama*"]}], "caps": {"max_choices": 2}})");
  under.role("teller", R"({"rules": [{"permissions": ["usage:read"]}], "caps": {"max_choices": 5, "max_tokens": 10}})");
  under.refresh();
  VerifiedToken token;
  token.kind = VerifiedToken::Kind::kForeign;
  token.issuer = "keycloak";
  token.subject = "42";
  token.project = "red";
  token.roles = {"writer"};
  token.scopes = PermissionSet::all();
  const auto one = foreign_identity(under.directory, token);
  ASSERT_TRUE(one) << to_string(one.error());
  EXPECT_EQ((*one)->id, "token:keycloak:42");
  EXPECT_EQ((*one)->key_id, "");
  EXPECT_EQ((*one)->project->id, "red");
  EXPECT_TRUE((*one)->may(P::kGenerate, "llama3"));
  EXPECT_FALSE((*one)->may(P::kGenerate, "qwen"));
  EXPECT_EQ((*one)->caps->max_choices, 2U);
  EXPECT_EQ((*one)->rules, under.directory.role("writer")->rules);

  token.roles = {"writer", "gone", "teller"};
  const auto both = foreign_identity(under.directory, token);
  ASSERT_TRUE(both);
  EXPECT_TRUE((*both)->may(P::kUsageRead));
  EXPECT_EQ((*both)->caps->max_choices, 5U);
  EXPECT_EQ((*both)->caps->max_tokens, 0U);  // no cap for a writer
  token.scopes = PermissionSet{P::kUsageRead};
  EXPECT_FALSE((*foreign_identity(under.directory, token))->may(P::kGenerate, "llama3"));

  token.roles = {"gone"};
  EXPECT_EQ(foreign_identity(under.directory, token).error().code, ErrorCode::kPermissionDenied);
  token.roles = {"writer"};
  token.project = "blue";
  EXPECT_EQ(foreign_identity(under.directory, token).error().code, ErrorCode::kPermissionDenied);
}

TEST(AuthenticatorTokens, ATokenEndsBeforeItsKey) {
  Under under;
  std::string key;
  const auto row = under.key("user", "{}", &key);
  under.refresh();
  const std::string token = under.token_of(row.id);
  const auto principal = under.bearer(token).value();
  EXPECT_TRUE(under.authenticator->still_valid(principal));
  ASSERT_TRUE(under.issuer.revoke(token));
  EXPECT_FALSE(under.authenticator->still_valid(principal));
  EXPECT_EQ(code_of(under.bearer(token)), ErrorCode::kUnauthenticated);
}

TEST(AuthenticatorTokens, WithoutTokensOnlyKeys) {
  Under under;
  std::string key;
  const auto row = under.key("user", "{}", &key);
  under.refresh();
  const std::string token = under.token_of(row.id);
  const Authenticator keys_only({}, under.directory, nullptr, under.throttle, under.clock);
  Credentials credentials = from("10.0.0.1:1");
  credentials.api_key = token;
  EXPECT_FALSE(keys_only.try_authenticate(credentials).value());
  credentials.api_key = key;
  EXPECT_TRUE(keys_only.try_authenticate(credentials).value());
}

TEST(AuthenticatorTokens, Certificates) {
  Under under;
  under.project("red");
  under.refresh();
  under.settings.certificates = {{.match = "CN=ci-*", .role = "operator", .project = "red"},
                                 {.match = "spiffe://prod/*", .role = "viewer"},
                                 {.match = "CN=ghost", .role = "gone"}};
  under.make();
  Credentials credentials = from("10.0.0.1:1");
  credentials.certificate_subject = "CN=ci-17";
  const auto ci = under.try_it(credentials);
  ASSERT_TRUE(ci) << to_string(ci.error());
  EXPECT_EQ(ci->id, "cert:CN=ci-17");
  EXPECT_EQ(ci->project(), "red");
  EXPECT_TRUE(ci->may(P::kModelsWrite, "m"));
  EXPECT_TRUE(under.authenticator->still_valid(*ci));

  credentials.certificate_subject = "CN=other";
  credentials.certificate_names = {"other.lan", "spiffe://prod/web"};
  const auto web = under.try_it(credentials);
  ASSERT_TRUE(web);
  EXPECT_EQ(web->id, "cert:spiffe://prod/web");
  EXPECT_FALSE(web->may(P::kGenerate));

  credentials.certificate_names = {"spiffe://test/web"};
  EXPECT_EQ(code_of(under.try_it(credentials)), ErrorCode::kUnauthenticated);
  credentials.certificate_subject = "CN=ghost";
  EXPECT_EQ(code_of(under.try_it(credentials)), ErrorCode::kPermissionDenied);
  // What is shown beside it counts, and a wrong key is not made good by a certificate.
  credentials.certificate_subject = "CN=ci-17";
  credentials.api_key = "wrong";
  EXPECT_EQ(code_of(under.try_it(credentials)), ErrorCode::kUnauthenticated);
}

TEST(AuthenticatorTokens, StillValid) {
  Under under;
  std::string key;
  auto row = under.key("user", "{}", &key);
  under.refresh();
  const Principal local;
  EXPECT_TRUE(under.authenticator->still_valid(local));
  const auto by_key = under.bearer(key).value();
  const auto by_token = under.bearer(under.token_of(row.id)).value();
  const auto valid = [&](const Principal& principal) { return under.authenticator->still_valid(principal); };
  EXPECT_TRUE(valid(by_key));
  EXPECT_TRUE(valid(by_token));

  row.name = "another name";
  under.update(row);
  under.refresh();
  EXPECT_TRUE(valid(by_key));
  EXPECT_TRUE(valid(by_token));
  row.role = "operator";  // more than before
  under.update(row);
  under.refresh();
  EXPECT_TRUE(valid(by_key));
  row.settings = R"({"models": ["llama*"]})";  // less
  under.update(row);
  under.refresh();
  EXPECT_FALSE(valid(by_key));
  EXPECT_FALSE(valid(by_token));
  row.settings = R"({"addresses": ["192.168.0.0/16"]})";  // elsewhere
  under.update(row);
  under.refresh();
  EXPECT_FALSE(valid(by_key));
  row.settings = "{}";
  row.expires = kStart + 5'000;
  under.update(row);
  under.refresh();
  EXPECT_TRUE(valid(by_key));
  under.now = kStart + 5'000;
  EXPECT_FALSE(valid(by_key));
  under.now = kStart;
  row.revoked = 1;
  under.update(row);
  under.refresh();
  EXPECT_FALSE(valid(by_key));
  EXPECT_FALSE(valid(by_token));
}

}  // namespace
}  // namespace llm::access
