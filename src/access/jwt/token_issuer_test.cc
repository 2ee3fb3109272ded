#include "access/jwt/token_issuer.h"

#include <atomic>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "access/jwt/issuer_under_test.h"
#include "access/jwt/jwk.h"
#include "store/store_fixture.h"
#include "store/token_tables.h"

namespace llm::access {
namespace {

constexpr std::int64_t kMinute = 60'000;
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kDay = 24 * kHour;

class TokenIssuerTest : public store::StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    issuer_ = make();
    ASSERT_TRUE(issuer_->refresh());
  }

  // Another gateway on the same database; its clock is ours.
  std::unique_ptr<TokenIssuer> make(const MasterSecret& secret = secret_under_test()) {
    return std::make_unique<TokenIssuer>(token_settings_, *database_, secret, [this] { return now_.load(); });
  }
  TokenGrant issue(std::optional<std::string_view> scope = {}) { return must(issuer_->issue(*key_identity(), scope)); }
  bool good(const TokenIssuer& issuer, std::string_view token) { return verify(issuer, token, now_).has_value(); }
  static std::string kid_of(std::string_view token) { return take_apart(token, 16 * 1024)->jws.key_id; }
  static std::set<std::string> published(const TokenIssuer& issuer) {
    std::set<std::string> out;
    const auto keys = parse_jwk_set(*issuer.jwks()).value();
    for (const auto& key : keys) out.insert(key.id());
    return out;
  }

  TokenSettings token_settings_;
  std::atomic<std::int64_t> now_{kStart};
  std::unique_ptr<TokenIssuer> issuer_;
};
STORE_ON_BOTH(TokenIssuerTest);

TEST_P(TokenIssuerTest, AnAccessTokenIsBoundToItsKey) {
  const auto grant = issue();
  EXPECT_EQ(grant.expires_in_s, 900);
  EXPECT_EQ(grant.scope, "generate models:read");
  const auto parts = take_apart(grant.access_token, 16 * 1024).value();
  EXPECT_EQ(parts.jws.type, "at+jwt");
  EXPECT_EQ(parts.jws.algorithm, JwsAlgorithm::kEdDSA);
  EXPECT_EQ(json::string_or(parts.claims, "iss"), "llm-mcp");
  EXPECT_EQ(json::string_or(parts.claims, "aud"), "llm-mcp");
  EXPECT_EQ(json::string_or(parts.claims, "sub"), "key:key1");
  const auto token = verify(*issuer_, grant.access_token, now_);
  ASSERT_TRUE(token) << to_string(token.error());
  EXPECT_EQ(token->kind, VerifiedToken::Kind::kOwn);
  EXPECT_EQ(token->key_id, "key1");
  EXPECT_EQ(token->subject, "key:key1");
  EXPECT_EQ(token->project, "team");
  EXPECT_EQ(token->scopes, (PermissionSet{Permission::kGenerate, Permission::kModelsRead}));
  EXPECT_EQ(token->expires, kStart + 15 * kMinute);
  EXPECT_FALSE(token->jti.empty());
  EXPECT_FALSE(token->session.empty());
  const auto answer = to_json(grant);
  EXPECT_EQ(json::string_or(answer, "token_type"), "Bearer");
  EXPECT_EQ(json::int_or(answer, "expires_in"), 900);
  EXPECT_EQ(json::string_or(answer, "refresh_token"), grant.refresh_token);
}

TEST_P(TokenIssuerTest, AnAccessTokenExpires) {
  const auto grant = issue();
  now_ = kStart + 15 * kMinute + 30'000 - 1;  // the leeway
  EXPECT_TRUE(good(*issuer_, grant.access_token));
  ++now_;
  EXPECT_FALSE(good(*issuer_, grant.access_token));
}

TEST_P(TokenIssuerTest, AScopeNarrows) {
  const auto grant = issue("models:read");
  EXPECT_EQ(grant.scope, "models:read");
  EXPECT_EQ(verify(*issuer_, grant.access_token, now_)->scopes, PermissionSet{Permission::kModelsRead});
  // It stays narrow.
  const auto next = must(issuer_->renew(grant.refresh_token, {}, any_key()));
  EXPECT_EQ(next.scope, "models:read");
  for (const std::string_view scope : {"admin", "generate admin", "models:write", "openid", "", "  ", "Generate"}) {
    const auto refused = issuer_->issue(*key_identity(), scope);
    ASSERT_FALSE(refused) << scope;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(refused.error().pointer, "/scope");
  }
  EXPECT_FALSE(issuer_->renew(next.refresh_token, "generate", any_key())) << "more than was granted at first";
  EXPECT_EQ(must(issuer_->issue(*key_identity("a", PermissionSet::all()), {})).scope, "admin");
}

TEST_P(TokenIssuerTest, ANarrowerScopeAtRenewalHoldsForOneAccessToken) {
  const auto grant = issue();
  const auto narrow = must(issuer_->renew(grant.refresh_token, "generate", any_key()));
  EXPECT_EQ(narrow.scope, "generate");
  EXPECT_EQ(must(issuer_->renew(narrow.refresh_token, {}, any_key())).scope, "generate models:read");
}

TEST_P(TokenIssuerTest, ATokenNeverHasMoreThanItsKeyHasNow) {
  const auto grant = issue();
  const auto weaker = [](std::string_view id) {
    return key_identity(std::string(id), PermissionSet{Permission::kModelsRead});
  };
  EXPECT_EQ(must(issuer_->renew(grant.refresh_token, {}, weaker)).scope, "models:read");
}

TEST_P(TokenIssuerTest, OnlyAKeyIsTraded) {
  for (const auto kind : {Identity::Kind::kToken, Identity::Kind::kCertificate}) {
    const auto identity = key_identity();
    identity->kind = kind;
    const auto refused = issuer_->issue(*identity);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
  }
}

TEST_P(TokenIssuerTest, ARefreshTokenIsGoodOnce) {
  const auto first = issue();
  const auto second = must(issuer_->renew(first.refresh_token, {}, any_key()));
  EXPECT_NE(second.refresh_token, first.refresh_token);
  EXPECT_TRUE(good(*issuer_, second.access_token));
  EXPECT_EQ(verify(*issuer_, first.access_token, now_)->session, verify(*issuer_, second.access_token, now_)->session);
  EXPECT_TRUE(issuer_->renew(second.refresh_token, {}, any_key()));
}

TEST_P(TokenIssuerTest, ReuseEndsTheWholeSignIn) {
  const auto bystander = issue();
  const auto first = issue();
  const auto second = must(issuer_->renew(first.refresh_token, {}, any_key()));
  const auto third = must(issuer_->renew(second.refresh_token, {}, any_key()));
  const auto reused = issuer_->renew(first.refresh_token, {}, any_key());
  ASSERT_FALSE(reused);
  EXPECT_EQ(reused.error().code, ErrorCode::kUnauthenticated);
  EXPECT_FALSE(issuer_->renew(third.refresh_token, {}, any_key())) << "the newest is dead, too";
  for (const auto* grant : {&first, &second, &third}) EXPECT_FALSE(good(*issuer_, grant->access_token));
  // At another gateway with its next look, and after a restart.
  const auto other = make();
  must(other->refresh());
  EXPECT_FALSE(good(*other, third.access_token));
  EXPECT_TRUE(good(*other, bystander.access_token));
  EXPECT_TRUE(other->renew(bystander.refresh_token, {}, any_key()));
}

TEST_P(TokenIssuerTest, OfManyWhoRenewAtOnceAtMostOneWins) {
  const auto grant = issue();
  const auto other = make();
  must(other->refresh());
  std::atomic<int> won = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        if ((i % 2 == 0 ? *issuer_ : *other).renew(grant.refresh_token, {}, any_key())) ++won;
      });
    }
  }
  EXPECT_EQ(won, 1);
  // The others were seen as thieves.
  must(issuer_->refresh());
  EXPECT_FALSE(good(*issuer_, grant.access_token));
}

TEST_P(TokenIssuerTest, RefusedRefreshTokens) {
  const auto grant = issue();
  const std::string& good_one = grant.refresh_token;
  const auto changed = [&](std::size_t at) {
    std::string out = good_one;
    out[at] = out[at] == '0' ? '1' : '0';
    return out;
  };
  const std::vector<std::string> texts = {"",
                                          "llr_",
                                          good_one + "0",
                                          good_one.substr(1),
                                          good_one.substr(0, good_one.size() - 1),
                                          " " + good_one,
                                          changed(4),                    // another id
                                          changed(good_one.size() - 1),  // another secret
                                          changed(40),
                                          "llr_" + std::string(32, '\'') + "_" + std::string(64, '0'),
                                          std::string(good_one.size(), '\0'),
                                          grant.access_token,
                                          "llm_0123456789abcdef_" + std::string(52, '0')};
  for (const auto& text : texts) {
    const auto refused = issuer_->renew(text, {}, any_key());
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().code, ErrorCode::kUnauthenticated);
  }
  // Who guesses a secret ends nobody's sign-in.
  EXPECT_TRUE(issuer_->renew(good_one, {}, any_key()));
}

TEST_P(TokenIssuerTest, ARefreshTokenExpires) {
  const auto grant = issue();
  now_ = kStart + token_settings_.refresh_lifetime.ms;
  must(issuer_->refresh());
  EXPECT_FALSE(issuer_->renew(grant.refresh_token, {}, any_key()));
  now_ = kStart;
  const auto other = issue();
  now_ = kStart + token_settings_.refresh_lifetime.ms - 1;
  EXPECT_TRUE(issuer_->renew(other.refresh_token, {}, any_key()));
}

TEST_P(TokenIssuerTest, AKeyThatIsGoneRenewsNothing) {
  const auto grant = issue();
  const auto refused = issuer_->renew(grant.refresh_token, {}, [](std::string_view) { return nullptr; });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnauthenticated);
  EXPECT_TRUE(issuer_->renew(grant.refresh_token, {}, any_key())) << "it was not used up";
}

TEST_P(TokenIssuerTest, RevokingAnAccessToken) {
  const auto grant = issue();
  const auto other = make();
  must(other->refresh());
  ASSERT_TRUE(good(*other, grant.access_token));
  must(issuer_->revoke(grant.access_token));
  must(issuer_->revoke(grant.access_token));
  EXPECT_FALSE(good(*issuer_, grant.access_token));
  EXPECT_TRUE(good(*other, grant.access_token)) << "it cannot know yet";
  must(other->refresh());
  EXPECT_FALSE(good(*other, grant.access_token));
  const auto next = must(issuer_->renew(grant.refresh_token, {}, any_key()));
  EXPECT_TRUE(good(*issuer_, next.access_token)) << "the sign-in goes on";
}

TEST_P(TokenIssuerTest, RevokingARefreshToken) {
  const auto grant = issue();
  const auto next = must(issuer_->renew(grant.refresh_token, {}, any_key()));
  must(issuer_->revoke(next.refresh_token));
  EXPECT_FALSE(good(*issuer_, grant.access_token));
  EXPECT_FALSE(good(*issuer_, next.access_token));
  EXPECT_FALSE(issuer_->renew(next.refresh_token, {}, any_key()));
}

TEST_P(TokenIssuerTest, RevokingWhatIsNoTokenDoesNothing) {
  const auto grant = issue();
  std::string forged = grant.access_token;
  forged[forged.size() - 20] = forged[forged.size() - 20] == 'A' ? 'B' : 'A';
  std::string guessed = grant.refresh_token;
  guessed.back() = guessed.back() == '0' ? '1' : '0';
  for (const std::string& text : {std::string(), std::string("x"), std::string("a.b.c"), forged, guessed}) {
    EXPECT_TRUE(issuer_->revoke(text)) << text;
  }
  EXPECT_TRUE(good(*issuer_, grant.access_token));
  EXPECT_TRUE(issuer_->renew(grant.refresh_token, {}, any_key()));
}

TEST_P(TokenIssuerTest, ARevocationOutlivesARestart) {
  const auto grant = issue();
  must(issuer_->revoke(grant.access_token));
  const auto restarted = make();
  must(restarted->refresh());
  EXPECT_FALSE(good(*restarted, grant.access_token));
}

// A gateway whose clock is some minutes behind revokes: its rows look old to the others.
TEST_P(TokenIssuerTest, ARevocationByAClockThatIsBehindIsSeen) {
  const auto grant = issue();
  const auto other = make();
  must(other->refresh());
  TokenIssuer late(token_settings_, *database_, secret_under_test(), [this] { return now_.load() - 4 * kMinute; });
  must(late.refresh());
  // It takes the token for one of the future, so it ends the sign-in.
  must(late.revoke(grant.refresh_token));
  must(other->refresh());
  EXPECT_FALSE(good(*other, grant.access_token));
}

TEST_P(TokenIssuerTest, GatewaysShareTheirKeys) {
  const auto other = make();
  must(other->refresh());
  EXPECT_EQ(published(*other), published(*issuer_));
  EXPECT_EQ(published(*other).size(), 1U);
  EXPECT_TRUE(good(*other, issue().access_token));
  EXPECT_TRUE(good(*issuer_, must(other->issue(*key_identity())).access_token));
}

TEST_P(TokenIssuerTest, OfManyFirstStartsOneMakesTheKey) {
  // As on an empty database: everything that was there is over.
  now_ = kStart + 365 * kDay;
  std::vector<std::unique_ptr<TokenIssuer>> gateways;
  for (int i = 0; i < 6; ++i) gateways.push_back(make());
  {
    std::vector<std::jthread> threads;
    for (auto& gateway : gateways) threads.emplace_back([&] { EXPECT_TRUE(gateway->refresh()); });
  }
  for (const auto& gateway : gateways) {
    EXPECT_EQ(published(*gateway), published(*gateways.front()));
    EXPECT_EQ(published(*gateway).size(), 1U);
  }
}

// Two months: a key is published a day before it signs, tokens verify until they expire, and a gateway that
// looks only twice a day keeps up.
TEST_P(TokenIssuerTest, KeysRotateWithOverlap) {
  const auto slow = make();
  std::map<std::string, std::int64_t> first_published;
  std::set<std::string> signers;
  std::vector<std::pair<std::int64_t, std::string>> tokens;  // with the time when they were made
  const std::int64_t step = 6 * kHour;
  for (std::int64_t at = 0; at < 65 * kDay; at += step) {
    now_ = kStart + at;
    must(issuer_->refresh());
    if (at % (12 * kHour) == 0) must(slow->refresh());
    for (const auto& id : published(*issuer_)) first_published.emplace(id, at);
    EXPECT_LE(published(*issuer_).size(), 2U);
    const auto grant = issue();
    const auto signer = kid_of(grant.access_token);
    if (signers.insert(signer).second && at > 0) EXPECT_GE(at - first_published.at(signer), kDay - step);
    EXPECT_EQ(grant.expires_in_s, 900);
    EXPECT_TRUE(good(*issuer_, grant.access_token));
    EXPECT_TRUE(good(*slow, grant.access_token)) << "a key that another gateway does not know yet signed";
    // Just before it expires, the key may be an old one.
    now_ += 15 * kMinute - 1;
    must(issuer_->refresh());
    EXPECT_TRUE(good(*issuer_, grant.access_token));
  }
  EXPECT_EQ(signers.size(), 3U);  // 65 days of 30
}

TEST_P(TokenIssuerTest, AKeyThatIsOverVerifiesNothing) {
  const auto grant = issue();
  const auto kid = kid_of(grant.access_token);
  now_ = kStart + token_settings_.key_lifetime.ms + 15 * kMinute + 30'000 + kMinute;
  must(issuer_->refresh());
  EXPECT_FALSE(published(*issuer_).contains(kid));
  const auto refused = verify(*issuer_, grant.access_token, kStart);  // even by a clock that was set back
  EXPECT_FALSE(refused);
  EXPECT_TRUE(good(*issuer_, issue().access_token));
}

TEST_P(TokenIssuerTest, Es256Works) {
  token_settings_.algorithm = SigningAlgorithm::kES256;
  now_ = kStart + 365 * kDay;
  const auto other = make();
  must(other->refresh());
  const auto grant = must(other->issue(*key_identity()));
  EXPECT_EQ(take_apart(grant.access_token, 16 * 1024)->jws.algorithm, JwsAlgorithm::kES256);
  EXPECT_TRUE(good(*other, grant.access_token));
}

TEST_P(TokenIssuerTest, AnotherMasterSecretIsNoticedAtStart) {
  const MasterSecret another(Key256{9});
  const auto refused = make(another)->refresh();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
}

TEST_P(TokenIssuerTest, NoPrivateKeyLeavesTheProcessInTheClear) {
  const auto rows = read([](store::Session& session) { return store::signing_keys(session); });
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_FALSE(rows[0].public_jwk.contains("\"d\""));
  EXPECT_FALSE(issuer_->jwks()->contains("\"d\""));
  EXPECT_FALSE(Jwk::from_private_bytes(JwsAlgorithm::kEdDSA, rows[0].private_key));
  const auto grant = issue();
  const auto id = grant.refresh_token.substr(4, 32);
  const auto row = read([&](store::Session& session) { return store::find_refresh_token(session, id); });
  ASSERT_TRUE(row);
  EXPECT_EQ(row->hash.size(), 32U);
  EXPECT_FALSE(row->hash.contains(grant.refresh_token.substr(37)));
}

TEST_P(TokenIssuerTest, ForgedTokensAreRefused) {
  const auto grant = issue();
  const auto parts = take_apart(grant.access_token, 16 * 1024).value();
  auto stranger = Jwk::generate(JwsAlgorithm::kEdDSA).value();
  // Signed by a stranger with our key's id in the header.
  const auto second = grant.access_token.rfind('.');
  const auto strange = sign_jws(stranger, "at+jwt", parts.jws.payload).value();
  EXPECT_FALSE(good(*issuer_, strange)) << "an unknown key id";
  EXPECT_FALSE(good(*issuer_, grant.access_token.substr(0, second) + strange.substr(strange.rfind('.'))));
  EXPECT_TRUE(good(*issuer_, grant.access_token));
}

}  // namespace
}  // namespace llm::access
