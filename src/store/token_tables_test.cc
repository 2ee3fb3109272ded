#include "store/token_tables.h"

#include <atomic>
#include <gtest/gtest.h>
#include <thread>

#include "store/nasty_texts.h"
#include "store/store_fixture.h"

namespace llm::store {
namespace {

class TokenTables : public StoreTest {};
STORE_ON_BOTH(TokenTables);

SigningKeyRow signing_key(std::string id, std::int64_t signs_until) {
  SigningKeyRow row;
  row.id = std::move(id);
  row.algorithm = "EdDSA";
  row.public_jwk = R"({"kty":"OKP"})";
  row.private_key = std::string("\0 sealed \xff", 10);
  row.created = signs_until - 10;
  row.signs_until = signs_until;
  row.verifies_until = signs_until + 10;
  return row;
}

RefreshTokenRow refresh_token(std::string id, std::string family) {
  RefreshTokenRow row;
  row.id = std::move(id);
  row.family = std::move(family);
  row.hash = std::string("\0\x01\xff", 3);
  row.key = "k1";
  row.scopes = "generate models:read";
  row.created = 1;
  row.expires = 100;
  return row;
}

TEST_P(TokenTables, SigningKeysComeBackAsTheyWere) {
  write([](Session& s) -> Result<void> {
    EXPECT_TRUE(insert_signing_key(s, signing_key("old", 20), 0));
    return insert_signing_key(s, signing_key("new", 40), 20);
  });
  auto keys = read([](Session& s) { return signing_keys(s); });
  ASSERT_EQ(keys.size(), 2U);
  EXPECT_EQ(keys[0].id, "old");
  EXPECT_EQ(keys[1].algorithm, "EdDSA");
  EXPECT_EQ(keys[1].public_jwk, R"({"kty":"OKP"})");
  EXPECT_EQ(keys[1].private_key, std::string("\0 sealed \xff", 10));
  EXPECT_EQ(keys[1].created, 30);
  EXPECT_EQ(keys[1].signs_until, 40);
  EXPECT_EQ(keys[1].verifies_until, 50);
  write([](Session& s) { return remove_signing_keys(s, 31); });
  keys = read([](Session& s) { return signing_keys(s); });
  ASSERT_EQ(keys.size(), 1U);
  EXPECT_EQ(keys[0].id, "new");
}

TEST_P(TokenTables, OfManyGatewaysThatRotateOneMakesTheKey) {
  auto other = open();
  std::atomic<int> made = 0;
  std::vector<std::jthread> gateways;
  for (int i = 0; i < 8; ++i) {
    gateways.emplace_back([&, i] {
      auto done = (i % 2 == 0 ? *database_ : *other).write([&](Session& s) {
        return insert_signing_key(s, signing_key("key" + std::to_string(i), 100), 50);
      });
      if (done) {
        ++made;
      } else {
        EXPECT_EQ(done.error().code, ErrorCode::kAlreadyExists);
      }
    });
  }
  gateways.clear();
  EXPECT_EQ(made, 1);
  EXPECT_EQ(read([](Session& s) { return signing_keys(s); }).size(), 1U);
}

TEST_P(TokenTables, ARefreshTokenIsUsedOnce) {
  write([](Session& s) { return insert_refresh_token(s, refresh_token("t", "f")); });
  const auto row = read([](Session& s) { return find_refresh_token(s, "t"); });
  ASSERT_TRUE(row);
  EXPECT_EQ(row->family, "f");
  EXPECT_EQ(row->hash, std::string("\0\x01\xff", 3));
  EXPECT_EQ(row->key, "k1");
  EXPECT_EQ(row->scopes, "generate models:read");
  EXPECT_EQ(row->created, 1);
  EXPECT_EQ(row->expires, 100);
  EXPECT_EQ(row->used, 0);
  EXPECT_EQ(database_->write([](Session& s) { return insert_refresh_token(s, refresh_token("t", "g")); }).error().code,
            ErrorCode::kAlreadyExists);

  auto other = open();
  std::atomic<int> used = 0;
  std::vector<std::jthread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&, i] {
      auto first = (i % 2 == 0 ? *database_ : *other).write([](Session& s) { return use_refresh_token(s, "t", 7); });
      ASSERT_TRUE(first) << first.error().message;
      if (*first) ++used;
    });
  }
  clients.clear();
  EXPECT_EQ(used, 1);
  EXPECT_EQ(read([](Session& s) { return find_refresh_token(s, "t"); })->used, 7);
  EXPECT_FALSE(write([](Session& s) { return use_refresh_token(s, "unknown", 7); }));
}

TEST_P(TokenTables, NoTokenOfARevokedFamilyIsLeft) {
  // Rotation and revocation at once: whichever is first, afterwards nothing of the family is good.
  auto other = open();
  for (int round = 0; round < 12; ++round) {
    const std::string family = "f" + std::to_string(round);
    const std::string first = family + "-1";
    const std::string second = family + "-2";
    write([&](Session& s) { return insert_refresh_token(s, refresh_token(first, family)); });
    std::jthread rotating([&] {
      (void)database_->write([&](Session& s) -> Result<void> {
        auto mine = use_refresh_token(s, first, 5);
        if (!mine) return fail(mine.error());
        if (!*mine) return fail(ErrorCode::kConflict, "used");
        return insert_refresh_token(s, refresh_token(second, family));
      });
    });
    std::jthread revoking(
        [&] { EXPECT_TRUE(other->write([&](Session& s) { return revoke_refresh_family(s, family, 6); })); });
    rotating.join();
    revoking.join();
    for (const auto& id : {first, second}) {
      const auto row = read([&](Session& s) { return find_refresh_token(s, id); });
      if (row) EXPECT_EQ(row->revoked, 6) << id;
      EXPECT_FALSE(write([&](Session& s) { return use_refresh_token(s, id, 8); }));
    }
    EXPECT_EQ(
        database_->write([&](Session& s) { return insert_refresh_token(s, refresh_token("late" + family, family)); })
            .error()
            .code,
        ErrorCode::kConflict);
  }
  write([](Session& s) { return remove_refresh_tokens(s, 101); });
  EXPECT_FALSE(read([](Session& s) { return find_refresh_token(s, "f0-1"); }));
}

TEST_P(TokenTables, RevokedAccessTokens) {
  write([](Session& s) -> Result<void> {
    EXPECT_TRUE(insert_revoked_token(s, {"a", 100, 10}));
    EXPECT_TRUE(insert_revoked_token(s, {"b", 200, 20}));
    return insert_revoked_token(s, {"a", 999, 999});  // twice is once
  });
  auto rows = read([](Session& s) { return revoked_tokens(s, 0); });
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].jti, "a");
  EXPECT_EQ(rows[0].expires, 100);
  EXPECT_EQ(rows[0].revoked, 10);
  EXPECT_EQ(read([](Session& s) { return revoked_tokens(s, 20); }).size(), 1U);
  EXPECT_EQ(read([](Session& s) { return revoked_tokens(s, 21); }).size(), 0U);
  write([](Session& s) { return remove_revoked_tokens(s, 101); });
  rows = read([](Session& s) { return revoked_tokens(s, 0); });
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].jti, "b");
}

TEST_P(TokenTables, TextsAreDataWhateverTheyHold) {
  int number = 0;
  for (const std::string& nasty : kNastyTexts) {
    const std::string id = nasty + std::to_string(++number);
    write([&](Session& s) -> Result<void> {
      SigningKeyRow signing = signing_key(id, 50);
      signing.algorithm = signing.public_jwk = signing.private_key = nasty;
      if (auto done = insert_signing_key(s, signing, 50); !done) return done;
      RefreshTokenRow row = refresh_token(id, id);
      row.key = row.scopes = row.hash = nasty;
      if (auto done = insert_refresh_token(s, row); !done) return done;
      return insert_revoked_token(s, {id, 1, number});
    });
    const auto row = read([&](Session& s) { return find_refresh_token(s, id); });
    ASSERT_TRUE(row) << nasty;
    EXPECT_EQ(row->scopes, nasty);
    EXPECT_EQ(row->hash, nasty);
    EXPECT_FALSE(read([&](Session& s) { return find_refresh_token(s, nasty); }));
    EXPECT_EQ(read([&](Session& s) { return revoked_tokens(s, number); }).at(0).jti, id);
    EXPECT_TRUE(write([&](Session& s) { return use_refresh_token(s, id, 2); }));
    write([&](Session& s) { return revoke_refresh_family(s, id, 3); });
    EXPECT_EQ(read([&](Session& s) { return find_refresh_token(s, id); })->revoked, 3);
  }
  EXPECT_EQ(read([](Session& s) { return signing_keys(s); }).size(), std::size(kNastyTexts));
  for (const std::string& bad : kUnstorableTexts) {
    EXPECT_FALSE(read([&](Session& s) { return find_refresh_token(s, bad); }));
    EXPECT_FALSE(write([&](Session& s) { return use_refresh_token(s, bad, 1); }));
    EXPECT_EQ(database_->write([&](Session& s) { return insert_revoked_token(s, {bad, 1, 1}); }).error().code,
              ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace llm::store
