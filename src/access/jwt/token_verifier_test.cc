#include "access/jwt/token_verifier.h"

#include <filesystem>
#include <gtest/gtest.h>
#include <string>
#include <thread>
#include <vector>

#include "access/api_key.h"
#include "access/jwt/issuer_under_test.h"
#include "access/jwt/jwk.h"
#include "access/jwt/token_cache.h"
#include "base/strings.h"
#include "observe/log.h"
#include "store/token_tables.h"

namespace llm::access {
namespace {

class TokenVerifierTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(issuer_.refresh()); }
  TokenGrant issue(const std::string& key = "key1") { return issuer_.issue(*key_identity(key)).value(); }
  bool good(std::string_view token) { return verifier_.try_verify(token, now_).value().has_value(); }

  std::int64_t now_ = kStart;
  store::TemporarySqlite file_;
  std::unique_ptr<store::Database> database_ = file_.open();
  observe::Log log_;
  TokenIssuer issuer_{{}, *database_, secret_under_test(), [this] { return now_; }};
  TokenVerifier verifier_{{.cached_tokens = 64}, &issuer_, log_, [this] { return now_; }};
};

TEST_F(TokenVerifierTest, LooksLikeAToken) {
  EXPECT_TRUE(TokenVerifier::looks_like_token("a.b.c"));
  EXPECT_TRUE(TokenVerifier::looks_like_token(".."));
  for (const std::string_view text : {"", "llm_0123456789abcdef_x", "a.b", "a.b.c.d", "a.b.c.d.e"}) {
    EXPECT_FALSE(TokenVerifier::looks_like_token(text)) << text;
  }
}

TEST_F(TokenVerifierTest, AGoodTokenIsVerifiedOnce) {
  const auto token = issue().access_token;
  const auto first = verifier_.try_verify(token, now_).value().value();
  EXPECT_EQ(first->key_id, "key1");
  EXPECT_EQ(verifier_.try_verify(token, now_).value().value(), first) << "the same object: out of the cache";
  EXPECT_EQ(verifier_.cached(), 1U);
  EXPECT_TRUE(verifier_.still_valid(*first, now_));
}

TEST_F(TokenVerifierTest, ABadOneIsNotCached) {
  auto token = issue().access_token;
  token[token.size() - 10] = token[token.size() - 10] == 'A' ? 'B' : 'A';
  for (int i = 0; i < 2; ++i) {
    const auto refused = verifier_.try_verify(token, now_).value();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kUnauthenticated);
  }
  EXPECT_EQ(verifier_.cached(), 0U);
}

TEST_F(TokenVerifierTest, ACachedTokenExpires) {
  const auto token = issue().access_token;
  const auto kept = verifier_.try_verify(token, now_).value().value();
  now_ = kept->expires + 30'000 - 1;  // within the leeway, no longer out of the cache
  EXPECT_TRUE(good(token));
  EXPECT_TRUE(verifier_.still_valid(*kept, now_));
  ++now_;
  EXPECT_FALSE(good(token));
  EXPECT_FALSE(verifier_.still_valid(*kept, now_));
  EXPECT_EQ(verifier_.cached(), 0U);
}

TEST_F(TokenVerifierTest, ACachedTokenIsRevoked) {
  const auto first = issue();
  const auto other = issue();
  const auto kept = verifier_.try_verify(first.access_token, now_).value().value();
  ASSERT_TRUE(good(other.access_token));
  ASSERT_TRUE(issuer_.revoke(first.access_token));
  EXPECT_FALSE(good(first.access_token));
  EXPECT_FALSE(verifier_.still_valid(*kept, now_));
  EXPECT_TRUE(good(other.access_token));
  ASSERT_TRUE(issuer_.revoke(other.refresh_token));
  EXPECT_FALSE(good(other.access_token));
}

// Who keeps showing a token that was good once is no guesser: the authenticator reads it from this detail.
TEST_F(TokenVerifierTest, WhatWasGoodOnceIsMarked) {
  const auto marked = [&](std::string_view token) {
    const auto refused = verifier_.try_verify(token, now_).value();
    return !refused && refused.error().details == std::vector<ErrorDetail>{{"expired", std::int64_t{1}}};
  };
  const auto cached = issue().access_token;
  const auto unseen = issue().access_token;
  auto forged = issue().access_token;
  forged[forged.size() - 20] = forged[forged.size() - 20] == 'A' ? 'B' : 'A';
  ASSERT_TRUE(good(cached));
  ASSERT_TRUE(issuer_.revoke(cached));
  EXPECT_TRUE(marked(cached)) << "out of the cache";
  EXPECT_TRUE(marked(cached)) << "verified anew";
  EXPECT_FALSE(marked(forged));
  now_ += 3'600'000;
  EXPECT_TRUE(marked(unseen));
  EXPECT_FALSE(marked(forged));
}

// By another gateway, which this one learns from the database.
TEST_F(TokenVerifierTest, ACachedTokenIsRevokedElsewhere) {
  const auto grant = issue();
  ASSERT_TRUE(good(grant.access_token));
  TokenIssuer elsewhere({}, *database_, secret_under_test(), [this] { return now_; });
  ASSERT_TRUE(elsewhere.refresh());
  ASSERT_TRUE(elsewhere.revoke(grant.access_token));
  ASSERT_TRUE(issuer_.refresh());
  EXPECT_FALSE(good(grant.access_token));
}

// The hot path reads memory: with the database gone, tokens are as good as before.
TEST_F(TokenVerifierTest, NeedsNoDatabase) {
  const auto known = issue().access_token;
  const auto unseen = issue().access_token;
  ASSERT_TRUE(good(known));
  std::filesystem::remove_all(file_.folder());
  EXPECT_TRUE(good(known));
  EXPECT_TRUE(good(unseen));
}

TEST_F(TokenVerifierTest, TheCacheIsBounded) {
  std::vector<std::string> tokens;
  for (int i = 0; i < 300; ++i) tokens.push_back(issue().access_token);
  for (const auto& token : tokens) EXPECT_TRUE(good(token));
  EXPECT_LE(verifier_.cached(), 64U);
  EXPECT_GE(verifier_.cached(), 32U);
  for (const auto& token : tokens) EXPECT_TRUE(good(token)) << "what fell out is verified again";
}

TEST_F(TokenVerifierTest, LongTokensAreRefusedUnread) {
  std::string token = issue().access_token;
  token.append(16 * 1024 + 1 - token.size(), 'A');
  const auto refused = verifier_.try_verify(token, now_).value();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "the token is too long");
}

TEST_F(TokenVerifierTest, WithoutIssuersNothingIsAccepted) {
  TokenVerifier nobody({}, nullptr, log_, [this] { return now_; });
  EXPECT_FALSE(nobody.try_verify(issue().access_token, now_).value());
}

// attacks.md section 2, item 11: what is good in one place is nothing in every other.
TEST_F(TokenVerifierTest, ATokenOfOneKindIsRefusedInEveryOtherSlot) {
  const auto grant = issue();
  const auto api_key = make_api_key();
  const auto payload = take_apart(grant.access_token, 16 * 1024)->jws.payload;
  const auto session = verify(issuer_, grant.access_token, now_)->session;
  const auto jti = verify(issuer_, grant.access_token, now_)->jti;
  const auto derived = [](KeyPurpose purpose) { return hex(secret_under_test().derive(purpose)); };
  struct Kind {
    std::string name;
    std::string text;
  };
  const std::vector<Kind> kinds = {
      {"access", grant.access_token},
      {"refresh", grant.refresh_token},
      {"api key", api_key.text},
      {"api key id", api_key.id},
      {"session", session},
      {"jti", jti},
      {"claims", payload},
      {"key of signing keys", derived(KeyPurpose::kSigningKeyEncryption)},
      {"key of refresh tokens", derived(KeyPurpose::kRefreshTokenHash)},
      {"key of request states", derived(KeyPurpose::kRequestState)},
      {"key of the audit trail", derived(KeyPurpose::kAuditChain)},
      {"jwks", *issuer_.jwks()},
  };
  for (const auto& kind : kinds) {
    EXPECT_EQ(good(kind.text), kind.name == "access") << kind.name;
    EXPECT_EQ(parse_api_key(kind.text).has_value(), kind.name == "api key") << kind.name;
    // The refresh slot uses its token up, so the right one comes last.
    if (kind.name != "refresh") EXPECT_FALSE(issuer_.renew(kind.text, {}, any_key())) << kind.name;
  }
  EXPECT_TRUE(good(grant.access_token));
  EXPECT_TRUE(issuer_.renew(grant.refresh_token, {}, any_key()));
}

// Right signature, wrong kind: our own key would sign nothing like these, but a confused part of the gateway might.
TEST_F(TokenVerifierTest, OtherJwtsOfOurKeyAreNoAccessTokens) {
  const auto grant = issue();
  const auto row = database_->read([](store::Session& session) { return store::signing_keys(session); }).value().at(0);
  const auto bytes = open_sealed(secret_under_test().derive(KeyPurpose::kSigningKeyEncryption), row.private_key,
                                 "signing-key " + row.id + " " + row.algorithm);
  ASSERT_TRUE(bytes);
  const auto key = Jwk::from_private_bytes(JwsAlgorithm::kEdDSA, *bytes).value();
  const auto claims = take_apart(grant.access_token, 16 * 1024)->claims;
  const auto signed_as = [&](std::string_view type, const json::object& object) {
    return sign_jws(key, type, json::write(object)).value();
  };
  ASSERT_TRUE(good(signed_as("at+jwt", claims)));
  for (const std::string_view type : {"JWT", "", "rt+jwt", "id+jwt", "at"}) EXPECT_FALSE(good(signed_as(type, claims)));
  const auto with = [&](std::string_view name, const json::value& value) {
    auto out = claims;
    out[name] = value;
    return out;
  };
  const auto without = [&](std::string_view name) {
    auto out = claims;
    out.erase(name);
    return out;
  };
  for (const std::string_view name : {"iss", "aud", "exp", "sub", "jti", "client_id", "sid"}) {
    EXPECT_FALSE(good(signed_as("at+jwt", without(name)))) << name;
    EXPECT_FALSE(good(signed_as("at+jwt", with(name, "")))) << name;
    EXPECT_FALSE(good(signed_as("at+jwt", with(name, json::array{})))) << name;
  }
  EXPECT_FALSE(good(signed_as("at+jwt", with("aud", "another"))));
  EXPECT_FALSE(good(signed_as("at+jwt", with("iss", "https://issuer.example"))));
}

TEST(TokenCacheTest, FindsWhatWasPut) {
  TokenCache cache(16);
  VerifiedToken token;
  token.expires = 100;
  const auto digest = TokenCache::digest_of("abc");
  EXPECT_EQ(hex(digest), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_FALSE(cache.find(digest, 0).token);
  cache.put(digest, std::make_shared<const VerifiedToken>(token), 7);
  EXPECT_EQ(cache.find(digest, 99).revocations, 7U);
  cache.mark_checked(digest, 8);
  EXPECT_EQ(cache.find(digest, 99).revocations, 8U);
  EXPECT_FALSE(cache.find(digest, 100).token);
  EXPECT_EQ(cache.size(), 0U);
  cache.put(digest, std::make_shared<const VerifiedToken>(token), 7);
  cache.erase(digest);
  EXPECT_EQ(cache.size(), 0U);
}

TEST(TokenCacheTest, PuttingAndErasingForeverDoesNotGrow) {
  TokenCache cache(16);
  VerifiedToken token;
  token.expires = 100;
  const auto kept = std::make_shared<const VerifiedToken>(token);
  for (int i = 0; i < 10'000; ++i) {
    const auto digest = TokenCache::digest_of(std::to_string(i % 100));
    cache.put(digest, kept, 0);
    EXPECT_LE(cache.size(), 16U);
    cache.erase(digest);
  }
  TokenCache none(0);
  none.put(TokenCache::digest_of("a"), kept, 0);
  EXPECT_EQ(none.size(), 0U);
}

TEST(TokenCacheTest, ManyThreads) {
  TokenCache cache(64);
  VerifiedToken token;
  token.expires = 100;
  const auto kept = std::make_shared<const VerifiedToken>(token);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 5'000; ++n) {
        const auto digest = TokenCache::digest_of(std::to_string(n % 200));
        if (const auto hit = cache.find(digest, n % 7 == 0 ? 100 : 0); hit.token) {
          cache.mark_checked(digest, 1);
          hit.token->identity.put(nullptr, n);
          hit.token->identity.get(n);
        } else {
          cache.put(digest, kept, 0);
        }
        if (n % 11 == 0) cache.erase(digest);
      }
    });
  }
  threads.clear();
  EXPECT_LE(cache.size(), 64U);
}

TEST(IdentitySlotTest, HoldsForOneRevision) {
  const VerifiedToken token;
  EXPECT_FALSE(token.identity.get(1));
  const auto identity = key_identity();
  token.identity.put(identity, 1);
  EXPECT_EQ(token.identity.get(1), identity);
  EXPECT_FALSE(token.identity.get(2));
  EXPECT_FALSE(VerifiedToken(token).identity.get(1)) << "a copy starts without";
}

}  // namespace
}  // namespace llm::access
