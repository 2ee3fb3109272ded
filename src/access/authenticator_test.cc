#include "access/authenticator.h"

#include <gtest/gtest.h>
#include <set>
#include <thread>

#include "access/authenticator_under_test.h"

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

TEST(Authenticator, CredentialsTable) {
  Under under;
  std::string key;
  std::string other;
  const auto row = under.key("user", "{}", &key);
  under.key("user", "{}", &other);
  under.refresh();
  const std::string token = under.token_of(row.id);
  struct Case {
    const char* what;
    std::optional<std::string> authorization;
    std::optional<std::string> api_key;
    std::optional<std::string> subprotocols;
    bool good;
  };
  const Case cases[] = {
      {"bearer", "Bearer " + key, {}, {}, true},
      {"any case", "bEaReR " + key, {}, {}, true},
      {"more spaces", "Bearer   " + key + " ", {}, {}, true},
      {"a token", "Bearer " + token, {}, {}, true},
      {"x-api-key", {}, key, {}, true},
      {"x-api-key with a token", {}, token, {}, true},
      {"websocket", {}, {}, "llm-mcp, bearer." + key, true},
      {"websocket, other order, no space", {}, {}, "bearer." + token + ",llm-mcp", true},
      {"the same twice", "Bearer " + key, key, "llm-mcp, bearer." + key, true},
      {"two keys", "Bearer " + key, other, {}, false},
      {"a key and its token", "Bearer " + token, key, {}, false},
      {"field and websocket differ", "Bearer " + key, {}, "llm-mcp, bearer." + other, false},
      {"two subprotocols", {}, {}, "llm-mcp, bearer." + key + ", bearer." + other, false},
      {"a good and a broken one", "Bearer " + key, "llm_", {}, false},
      {"no llm-mcp beside", {}, {}, "bearer." + key, false},
      {"basic", "Basic " + key, {}, {}, false},
      {"no scheme", key, {}, {}, false},
      {"scheme alone", "Bearer", {}, {}, false},
      {"nothing behind it", "Bearer  ", {}, {}, false},
      {"empty", "", {}, {}, false},
      {"scheme glued on", "Bearer" + key, {}, {}, false},
      {"two tokens", "Bearer " + key + " " + key, {}, {}, false},
      {"bearer twice", "Bearer Bearer " + key, {}, {}, false},
      {"a list", "Bearer " + key + ", Bearer " + other, {}, {}, false},
      {"empty api key", {}, "", {}, false},
      {"empty subprotocol", {}, {}, "llm-mcp, bearer.", false},
      {"half a key", "Bearer " + key.substr(0, 40), {}, {}, false},
      {"the id alone", "Bearer " + row.id, {}, {}, false},
      {"another product's key", "Bearer sk-proj-abcdefghijklmnop", {}, {}, false},
  };
  for (const Case& c : cases) {
    Credentials credentials = from("10.0.0.1:1");
    if (c.authorization) credentials.authorization = *c.authorization;
    if (c.api_key) credentials.api_key = *c.api_key;
    if (c.subprotocols) credentials.subprotocols = *c.subprotocols;
    under.make();
    under.now += 120'000;  // no block, and the token of 15 minutes still lives
    if (under.now > kStart + 600'000) under.now = kStart;
    const auto result = under.try_it(credentials);
    if (c.good) {
      ASSERT_TRUE(result) << c.what << ": " << to_string(result.error());
      EXPECT_EQ(result->id, "key:" + row.id) << c.what;
      EXPECT_EQ(result->address, "10.0.0.1");
    } else {
      ASSERT_FALSE(result) << c.what;
      EXPECT_EQ(result.error().code, ErrorCode::kUnauthenticated) << c.what << to_string(result.error());
      EXPECT_EQ(result.error().message.find(key.substr(21)), std::string::npos) << c.what;
    }
  }
}

TEST(Authenticator, OneTextForUnknownWrongRevokedAndExpired) {
  Under under;
  std::string good;
  std::string revoked;
  std::string expired;
  std::string disabled;
  under.key("user", "{}", &good);
  auto row = under.key("user", "{}", &revoked);
  row.revoked = 1;
  under.update(row);
  row = under.key("user", "{}", &expired);
  row.expires = kStart;
  under.update(row);
  auto user = under.user("ann");
  row = under.key("user", "{}", &disabled);
  row.user = "ann";
  under.update(row);
  user.disabled = 1;
  under.update(user);
  under.refresh();
  ASSERT_TRUE(under.bearer(good));
  std::string wrong = good;
  wrong.back() = wrong.back() == '0' ? 'g' : '0';
  std::set<std::string> texts;
  for (const std::string& text : {make_api_key().text, wrong, revoked, expired, disabled, std::string("llm_x")}) {
    const auto result = under.bearer(text);
    ASSERT_FALSE(result) << text;
    EXPECT_EQ(result.error().code, ErrorCode::kUnauthenticated);
    texts.insert(to_string(result.error()));
    EXPECT_TRUE(result.error().details.empty());
  }
  EXPECT_EQ(texts.size(), 1U);
}

// What a bearer holds reaches neither the database nor a message: LiteLLM's CVE-2026-42208.
TEST(Authenticator, NaughtyBearersAreJustWrong) {
  Under under;
  under.key();
  under.refresh();
  const std::string good_end(52, '0');
  const std::vector<std::string> naughty = {
      "' OR '1'='1",
      "llm_' OR 1=1; DROP TABLE api_keys; --_" + good_end,
      "llm_0123456789abcde'_" + good_end,
      "llm_0123456789abcdef_" + std::string(51, '0') + "'",
      "1; SELECT pg_sleep(10)--",
      "%27%20OR%201%3D1",
      "llm_%00",
      std::string("llm_\0\0", 6),
      "../../etc/passwd",
      "${jndi:ldap://x}",
      "{{7*7}}",
      "\xF0\x9F\x92\xA9",
      "\xFF\xFE",
      "null",
      "undefined",
      "true",
      "-1",
      "a.b.c",
      "..",
      "eyJhbGciOiJub25lIn0.e30.",
      std::string(100'000, 'A'),
      "llm_" + std::string(100'000, '0'),
  };
  std::set<std::string> seen;
  for (std::size_t i = 0; i < naughty.size(); ++i) {
    const std::string address = "10.0.1." + std::to_string(i) + ":1";
    const auto result = under.bearer(naughty[i], address);
    ASSERT_FALSE(result) << i;
    EXPECT_EQ(result.error().code, ErrorCode::kUnauthenticated) << i << to_string(result.error());
    if (naughty[i].size() > 4) EXPECT_EQ(result.error().message.find(naughty[i]), std::string::npos) << i;
  }
  // Every table is as it was.
  EXPECT_FALSE(under.refresh());
  EXPECT_EQ(under.directory.keys(), 1U);
}

TEST(Authenticator, WhoTheLocalUserIs) {
  struct Case {
    const char* what;
    LocalUser setting;
    bool beyond;
    const char* address;
    bool unix_socket;
    bool forwarded;
    bool local;
  };
  const Case cases[] = {
      {"loopback alone", LocalUser::kAuto, false, "127.0.0.1:5", false, false, true},
      {"IPv6 loopback", LocalUser::kAuto, false, "[::1]:5", false, false, true},
      {"mapped loopback", LocalUser::kAuto, false, "[::ffff:127.0.0.1]:5", false, false, true},
      {"another address", LocalUser::kAuto, false, "10.0.0.1:5", false, false, false},
      {"through a proxy", LocalUser::kAuto, false, "127.0.0.1:5", false, true, false},
      {"the gateway is on the network", LocalUser::kAuto, true, "127.0.0.1:5", false, false, false},
      {"the same, but wanted", LocalUser::kOn, true, "127.0.0.1:5", false, false, true},
      {"wanted, through a proxy", LocalUser::kOn, true, "127.0.0.1:5", false, true, false},
      {"wanted, from the network", LocalUser::kOn, true, "192.168.0.3:5", false, false, false},
      {"not wanted", LocalUser::kOff, false, "127.0.0.1:5", false, false, false},
      {"the Unix socket, always", LocalUser::kOff, true, "unix", true, false, true},
  };
  for (const Case& c : cases) {
    Under under;
    under.settings.local_user = c.setting;
    under.settings.listens_beyond_loopback = c.beyond;
    under.make();
    Credentials credentials = from(c.address);
    credentials.unix_socket = c.unix_socket;
    credentials.forwarded = c.forwarded;
    const auto result = under.try_it(credentials);
    EXPECT_EQ(result.has_value(), c.local) << c.what;
    if (result) {
      EXPECT_TRUE(result->local());
      EXPECT_EQ(result->address.empty(), c.unix_socket) << c.what;
    } else {
      EXPECT_EQ(result.error().code, ErrorCode::kUnauthenticated) << c.what;
    }
  }
}

// SDKs insist on a key. What is neither a key nor a token proves nothing and harms nothing where nobody needs one.
TEST(Authenticator, APlaceholderOnLoopbackIsTheLocalUserAndARealKeyCounts) {
  Under under;
  std::string key;
  under.key("viewer", "{}", &key);
  under.refresh();
  EXPECT_TRUE(under.try_it(from("127.0.0.1:1"))->local());
  for (const char* placeholder : {"none", "sk-no-key-required", "ollama"}) {
    const auto local = under.bearer(placeholder, "127.0.0.1:1");
    ASSERT_TRUE(local) << placeholder;
    EXPECT_TRUE(local->local());
    EXPECT_EQ(code_of(under.bearer(placeholder, "10.0.0.1:1")), ErrorCode::kUnauthenticated);
  }
  // What could be a key or a token is checked.
  EXPECT_EQ(code_of(under.bearer(make_api_key().text, "127.0.0.1:1")), ErrorCode::kUnauthenticated);
  EXPECT_EQ(code_of(under.bearer("llm_", "127.0.0.1:1")), ErrorCode::kUnauthenticated);
  EXPECT_EQ(code_of(under.bearer("a.b.c", "127.0.0.1:1")), ErrorCode::kUnauthenticated);
  const auto shown = under.bearer(key, "127.0.0.1:1");
  ASSERT_TRUE(shown);
  EXPECT_FALSE(shown->local());
  EXPECT_FALSE(shown->may(P::kGenerate, "m"));
  under.settings.local_user = LocalUser::kOff;
  under.make();
  EXPECT_EQ(code_of(under.bearer("none", "127.0.0.1:1")), ErrorCode::kUnauthenticated);
}

TEST(Authenticator, AnAddressThatCannotBeReadIsNobody) {
  Under under;
  EXPECT_FALSE(under.try_it(from("")));
  EXPECT_FALSE(under.try_it(from("unix")));  // says so, but the kernel named nobody
  EXPECT_FALSE(under.try_it(from("localhost:80")));
}

TEST(Authenticator, TheOldSecretWorksUntilTheOverlapIsOver) {
  Under under;
  std::string first;
  auto row = under.key("user", "{}", &first);
  const NewApiKey second = make_secret_for(row.id);
  row.old_hash = row.hash;
  row.old_until = kStart + 1'000;
  row.hash = second.hash;
  under.update(row);
  under.refresh();
  EXPECT_TRUE(under.bearer(second.text));
  EXPECT_TRUE(under.bearer(first));
  under.now = kStart + 999;
  EXPECT_TRUE(under.bearer(first));
  under.now = kStart + 1'000;
  EXPECT_EQ(code_of(under.bearer(first)), ErrorCode::kUnauthenticated);
  EXPECT_TRUE(under.bearer(second.text));
}

TEST(Authenticator, AllowedAddresses) {
  Under under;
  std::string key;
  under.key("user", R"({"addresses": ["10.0.0.0/8", "2001:db8::/32"]})", &key);
  std::string here;
  const auto loopback = under.key("user", R"({"addresses": ["127.0.0.1"]})", &here);
  under.refresh();
  for (const char* address : {"10.3.4.5:1", "[::ffff:10.3.4.5]:1", "[2001:db8:9::1]:1"}) {
    EXPECT_TRUE(under.bearer(key, address)) << address;
  }
  for (const char* address : {"11.0.0.1:1", "127.0.0.1:1", "[2001:db9::1]:1", "[::a03:405]:1"}) {
    EXPECT_EQ(code_of(under.bearer(key, address)), ErrorCode::kPermissionDenied) << address;
  }
  // The Unix socket is this machine.
  Credentials credentials = from("unix");
  credentials.unix_socket = true;
  credentials.api_key = here;
  EXPECT_TRUE(under.try_it(credentials));
  credentials.api_key = key;
  EXPECT_EQ(code_of(under.try_it(credentials)), ErrorCode::kPermissionDenied);
  // A token is good where its key is.
  const std::string token = under.token_of(loopback.id);
  EXPECT_TRUE(under.bearer(token, "127.0.0.1:9"));
  EXPECT_EQ(code_of(under.bearer(token, "10.0.0.1:9")), ErrorCode::kPermissionDenied);
}

TEST(Authenticator, LastUsedIsNotedOnceASecond) {
  Under under;
  std::string key;
  const auto row = under.key("user", "{}", &key);
  under.refresh();
  const auto entry = under.directory.key(row.id);
  ASSERT_TRUE(under.bearer(key));
  EXPECT_EQ(entry->last_used.load(), kStart);
  under.now = kStart + 999;
  ASSERT_TRUE(under.bearer(key));
  EXPECT_EQ(entry->last_used.load(), kStart);
  under.now = kStart + 1'000;
  ASSERT_TRUE(under.bearer(key));
  EXPECT_EQ(entry->last_used.load(), kStart + 1'000);
  std::string wrong = key;
  wrong.back() = wrong.back() == '0' ? 'g' : '0';
  under.now = kStart + 9'000;
  ASSERT_FALSE(under.bearer(wrong));
  EXPECT_EQ(entry->last_used.load(), kStart + 1'000);
}

TEST(Authenticator, WhoGuessesIsBlockedAndOthersAreNot) {
  Under under;
  std::string key;
  under.key("user", "{}", &key);
  under.refresh();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(code_of(under.bearer(make_api_key().text)), ErrorCode::kUnauthenticated) << i;
    if (i < 4) EXPECT_TRUE(under.bearer(key)) << i;
  }
  // Not even a right key is looked at.
  const auto blocked = under.bearer(key);
  EXPECT_EQ(code_of(blocked), ErrorCode::kRateLimited);
  EXPECT_GT(blocked.error().retry_after_s, 0);
  EXPECT_TRUE(under.bearer(key, "10.0.0.2:1"));
  under.now += 60'000;
  EXPECT_TRUE(under.bearer(key));
}

TEST(Authenticator, WhatIsNoGuessDoesNotCount) {
  Under under;
  std::string key;
  std::string revoked;
  const auto row = under.key("user", "{}", &key);
  auto gone = under.key("user", "{}", &revoked);
  under.refresh();
  const std::string token = under.token_of(row.id);
  const std::string orphan = under.token_of(gone.id);
  gone.revoked = 1;
  under.update(gone);
  under.refresh();
  under.now += 3'600'000;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(code_of(under.bearer(token)), ErrorCode::kUnauthenticated);  // expired
    EXPECT_EQ(code_of(under.bearer(revoked)), ErrorCode::kUnauthenticated);
    EXPECT_EQ(code_of(under.try_it(from("10.0.0.1:1"))), ErrorCode::kUnauthenticated);  // nothing shown
  }
  EXPECT_TRUE(under.bearer(key));
  EXPECT_EQ(under.throttle.remembered(), 0U);
}

TEST(Authenticator, ManyThreadsWhileKeysChange) {
  Under under;
  std::string key;
  auto row = under.key("user", "{}", &key);
  under.refresh();
  const std::string token = under.token_of(row.id);
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      const std::string field = "Bearer " + (t == 0 ? token : key);
      Credentials credentials = from("10.0.0.1:1");
      credentials.authorization = field;
      while (!stop.load()) {
        const auto done = under.authenticator->try_authenticate(credentials);
        if (!done || !*done || (*done)->identity->key_id != row.id) ++wrong;
      }
    });
  }
  for (int i = 0; i < 30; ++i) {
    row.role = i % 2 == 0 ? "viewer" : "user";
    under.update(row);
    under.refresh();
  }
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace llm::access
