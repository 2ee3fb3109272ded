#include "access/jwt/issuer_keys.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <string>
#include <utility>
#include <vector>

#include "access/jwt/foreign_issuer_fixture.h"
#include "access/jwt/issuer_fetch.h"
#include "async/task_group.h"

namespace llm::access {
namespace {

class IssuerKeysTest : public ForeignIssuerTest {};

TEST_F(IssuerKeysTest, KeysAreFoundByDiscovery) {
  const auto first = token();
  EXPECT_FALSE(verifier().try_verify(first, now_).has_value()) << "not without a fetch";
  const auto verified = verify(first);
  ASSERT_TRUE(verified) << to_string(verified.error());
  const auto& got = **verified;
  EXPECT_EQ(got.kind, VerifiedToken::Kind::kForeign);
  EXPECT_EQ(got.issuer, "corp");
  EXPECT_EQ(got.subject, "somebody");
  EXPECT_EQ(got.key_id, "");
  EXPECT_EQ(got.project, "default");
  EXPECT_EQ(got.roles, std::vector<std::string>{"user"});
  EXPECT_EQ(got.scopes, PermissionSet::all());
  // From now on nothing is fetched, and nothing waits.
  EXPECT_TRUE(verifier().try_verify(first, now_).value());
  EXPECT_TRUE(verifier().try_verify(token(), now_).value());
  EXPECT_EQ(provider_.asked("/.well-known/openid-configuration"), 1);
  EXPECT_EQ(provider_.fetches(), 1);
}

TEST_F(IssuerKeysTest, KeysAreFoundWithoutDiscovery) {
  settings_.jwks_uri = provider_.issuer() + "/keys";
  EXPECT_TRUE(good(token()));
  EXPECT_EQ(provider_.asked("/.well-known/openid-configuration"), 0);
}

TEST_F(IssuerKeysTest, DiscoveryMayBeElsewhere) {
  settings_.discovery_url = provider_.issuer() + "/tenant/openid?appid=1";
  std::swap(provider_.answers["/tenant/openid?appid=1"], provider_.answers["/.well-known/openid-configuration"]);
  EXPECT_TRUE(good(token()));
  EXPECT_EQ(provider_.asked("/tenant/openid?appid=1"), 1);
}

TEST_F(IssuerKeysTest, AnIssuerMayEndWithASlash) {
  settings_.issuer += "/";
  provider_.answers["/.well-known/openid-configuration"].body =
      fmt::format(R"({{"issuer":"{}","jwks_uri":"{}/keys"}})", settings_.issuer, provider_.issuer());
  EXPECT_TRUE(good(token()));
}

TEST_F(IssuerKeysTest, ATokenOfSomebodyElseIsRefusedWithoutAFetch) {
  auto object = claims();
  object["iss"] = "https://elsewhere.example";
  EXPECT_EQ(error(token(key_, object)), ErrorCode::kUnauthenticated);
  object.erase("iss");
  EXPECT_EQ(error(token(key_, object)), ErrorCode::kUnauthenticated);
  EXPECT_EQ(error("a.b.c"), ErrorCode::kUnauthenticated);
  EXPECT_EQ(provider_.fetches(), 0);
}

TEST_F(IssuerKeysTest, AnAlgorithmThatIsNotListedIsRefusedWithoutAFetch) {
  settings_.algorithms = {"ES256"};
  EXPECT_EQ(error(token()), ErrorCode::kUnauthenticated);
  EXPECT_EQ(provider_.fetches(), 0);
}

// Everything a bad provider may answer. Nothing of it lets anybody in, all of it is in the log, and the next try comes
// only after a while.
TEST_F(IssuerKeysTest, BadProviders) {
  const std::string discovery = "/.well-known/openid-configuration";
  const std::string good_discovery = provider_.answers[discovery].body;
  const std::string good_keys = provider_.answers["/keys"].body;
  using Answer = ProviderUnderTest::Answer;
  struct Case {
    std::string name;
    std::string target;
    Answer answer;
    std::string in_log;
  };
  const auto leads_to = [&](std::string_view url) {
    return Answer{.body = fmt::format(R"({{"issuer":"{}","jwks_uri":"{}"}})", provider_.issuer(), url)};
  };
  const std::vector<Case> cases = {
      {"another issuer",
       discovery,
       {.body = R"({"issuer":"https://evil.example","jwks_uri":")" + provider_.issuer() + R"(/keys"})"},
       "another issuer"},
      {"no issuer", discovery, {.body = R"({"jwks_uri":")" + provider_.issuer() + R"(/keys"})"}, "another issuer"},
      {"two issuers", discovery, {.body = R"({"issuer":"x",)" + good_discovery.substr(1)}, "not JSON"},
      {"no keys named", discovery, {.body = R"({"issuer":")" + provider_.issuer() + R"("})"}, "jwks_uri"},
      {"not JSON", discovery, {.body = "<html>"}, "not JSON"},
      {"a list", discovery, {.body = "[]"}, "not JSON"},
      {"500", discovery, {.status = 500}, "answered 500"},
      {"404", discovery, {.status = 404}, "answered 404"},
      {"a redirect", discovery, {.status = 302, .headers = {{"Location", "/keys"}}}, "redirects are not followed"},
      {"a redirect of the keys",
       "/keys",
       {.status = 307, .headers = {{"Location", "/other"}}},
       "redirects are not followed"},
      {"metadata service", discovery, leads_to("http://169.254.169.254/latest"), "https"},
      {"metadata service over TLS", discovery, leads_to("https://169.254.169.254/latest"), "public name"},
      {"decimal address", discovery, leads_to("https://2130706433/"), "public name"},
      {"octal address", discovery, leads_to("https://0177.0.0.1/"), "public name"},
      {"hexadecimal address", discovery, leads_to("https://0x7f.1/"), "public name"},
      {"mapped address", discovery, leads_to("https://[::ffff:10.0.0.1]/"), "public name"},
      {"local name", discovery, leads_to("https://localhost/"), "public name"},
      {"short name", discovery, leads_to("https://vault/"), "public name"},
      {"internal name", discovery, leads_to("https://metadata.google.internal/"), "public name"},
      {"another port", discovery, leads_to("http://127.0.0.1:1/keys"), "public name"},
      {"a file", discovery, leads_to("file:///etc/passwd"), "https"},
      {"a socket", discovery, leads_to("unix:/run/x.sock"), "https"},
      {"user information", discovery, leads_to("https://a@b.example/"), ""},
      {"a huge body", "/keys", {.endless = true}, "larger"},
      {"a huge discovery", discovery, {.endless = true}, "larger"},
      {"no JWK Set", "/keys", {.body = "{}"}, "JWK Set"},
      {"an empty set", "/keys", {.body = R"({"keys":[]})"}, "no key"},
      {"secrets only", "/keys", {.body = R"({"keys":[{"kty":"oct","k":"AAAA"}]})"}, "no key"},
  };
  for (const auto& one : cases) {
    provider_.answers[discovery] = {.body = good_discovery};
    provider_.answers["/keys"] = {.body = good_keys};
    provider_.answers[one.target] = one.answer;
    capture_.clear();
    const int asked = provider_.asked(discovery);
    EXPECT_EQ(error(token()), ErrorCode::kUnavailable) << one.name;
    EXPECT_TRUE(capture_.contains("keys of an issuer")) << one.name;
    EXPECT_TRUE(capture_.contains(one.in_log))
        << one.name << ": " << (capture_.lines().empty() ? "" : capture_.lines().back());
    EXPECT_EQ(error(token()), ErrorCode::kUnavailable) << one.name;
    EXPECT_EQ(provider_.asked(discovery), asked + 1) << one.name << ": asked again at once";
    now_ += 5'000;
  }
  // It mends itself.
  provider_.answers[discovery] = {.body = good_discovery};
  provider_.answers["/keys"] = {.body = good_keys};
  EXPECT_TRUE(good(token()));
  EXPECT_EQ(provider_.asked("/other"), 0);
}

TEST_F(IssuerKeysTest, AProviderThatIsNotThereIsUnavailable) {
  settings_.jwks_uri = "http://127.0.0.1:1/keys";
  const auto result = verify(token());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
  EXPECT_GT(result.error().retry_after_s, 0);
}

TEST_F(IssuerKeysTest, ASlowProviderIsGivenUp) {
  provider_.answers["/keys"].gated = true;
  settings_.jwks_uri = provider_.issuer() + "/keys";
  const auto fetch = [](IssuerSettings settings, Loop& loop, net::HttpClient& client,
                        std::string& message) -> Task<void> {
    const auto out = co_await fetch_keys(settings, {.timeout = std::chrono::milliseconds(1)}, loop, client, {});
    message = out ? "fetched" : out.error().message;
  };
  std::string message;
  run_task(loop_, fetch(settings_, loop_, client_, message));
  EXPECT_EQ(message, "the issuer took too long to answer");
}

TEST_F(IssuerKeysTest, AnUnknownKeyIsFetchedForOnceAMinute) {
  EXPECT_TRUE(good(token()));
  const auto next = Jwk::generate(JwsAlgorithm::kES256).value();
  provider_.publish({next, key_});
  EXPECT_TRUE(good(token(next, claims()))) << "the issuer changed its keys";
  EXPECT_EQ(provider_.fetches(), 2);
  // Anybody can name an unknown key.
  const auto stranger = Jwk::generate(JwsAlgorithm::kEdDSA).value();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(error(token(stranger, claims())), ErrorCode::kUnauthenticated);
  EXPECT_EQ(provider_.fetches(), 2);
  now_ += 59'999;
  EXPECT_EQ(error(token(stranger, claims())), ErrorCode::kUnauthenticated);
  EXPECT_EQ(provider_.fetches(), 2);
  now_ += 1;
  EXPECT_EQ(error(token(stranger, claims())), ErrorCode::kUnauthenticated);
  EXPECT_EQ(provider_.fetches(), 3);
  EXPECT_TRUE(good(token()));
}

TEST_F(IssuerKeysTest, KeysAreFetchedAgainWhenTheirAgeIsOver) {
  provider_.answers["/keys"].headers = {{"Cache-Control", "public, max-age=120"}};
  EXPECT_TRUE(good(token()));
  now_ += 119'999;
  EXPECT_TRUE(verifier().try_verify(token(), now_).value());
  now_ += 1;
  EXPECT_FALSE(verifier().try_verify(token(), now_).has_value());
  // The key is gone meanwhile, and another one there.
  const auto next = Jwk::generate(JwsAlgorithm::kEdDSA).value();
  provider_.publish({next});
  EXPECT_EQ(error(token()), ErrorCode::kUnauthenticated);
  EXPECT_TRUE(good(token(next, claims())));
}

TEST_F(IssuerKeysTest, AFailedRefreshKeepsTheOldKeys) {
  EXPECT_TRUE(good(token()));
  const auto keys = provider_.answers["/keys"];
  provider_.answers["/keys"] = {.status = 503};
  now_ += 600'000;
  EXPECT_TRUE(good(token()));
  EXPECT_EQ(provider_.fetches(), 2);
  EXPECT_TRUE(verifier().try_verify(token(), now_).value()) << "and does not try again at once";
  now_ += 60'000;
  provider_.answers["/keys"] = {.body = R"({"keys":[]})"};
  EXPECT_TRUE(good(token())) << "no keys are no news";
  EXPECT_EQ(provider_.fetches(), 3);
  now_ += 60'000;
  provider_.answers["/keys"] = keys;
  EXPECT_TRUE(good(token()));
  EXPECT_EQ(provider_.fetches(), 4);
}

// Many requests that need the same keys at the same moment.
TEST_F(IssuerKeysTest, OneFetchForAll) {
  provider_.answers["/keys"].gated = true;
  int won = 0;
  const auto one = [](TokenVerifier& verifier, std::string token, Loop& loop, int& won) -> Task<void> {
    if (co_await verifier.verify(std::move(token), loop, {})) ++won;
  };
  const auto open = [](ProviderUnderTest& provider) -> Task<void> {
    co_await provider.until_asked("/keys", 1);
    provider.open_gate();
  };
  TaskGroup group(loop_.executor());
  for (int i = 0; i < 10; ++i) group.spawn(one(verifier(), token(), loop_, won));
  group.spawn(open(provider_));
  run_task(loop_, group.join());
  EXPECT_EQ(won, 10);
  EXPECT_EQ(provider_.fetches(), 1);
}

// The client that happens to fetch goes away: those who wait with it fetch again.
TEST_F(IssuerKeysTest, ACancelledFetchHurtsNobodyElse) {
  provider_.answers["/keys"].gated = true;
  const CancelSource source;
  std::vector<TokenResult> results(2, std::unexpected(Error{}));
  const auto play = [](ProviderUnderTest& provider, const CancelSource& source) -> Task<void> {
    co_await provider.until_asked("/keys", 1);
    source.cancel();
    provider.answers["/keys"].gated = false;
  };
  TaskGroup group(loop_.executor());
  group.spawn(into(verifier().verify(token(), loop_, source.token()), results[0]));
  group.spawn(into(verifier().verify(token(), loop_, {}), results[1]));
  group.spawn(play(provider_, source));
  run_task(loop_, group.join());
  ASSERT_FALSE(results[0]);
  EXPECT_EQ(results[0].error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(results[1]) << to_string(results[1].error());
}

TEST_F(IssuerKeysTest, OneWhoWaitsCanBeCancelled) {
  provider_.answers["/keys"].gated = true;
  const CancelSource source;
  std::vector<TokenResult> results(2, std::unexpected(Error{}));
  const auto play = [](ProviderUnderTest& provider, const CancelSource& source,
                       const TokenResult& waits) -> Task<void> {
    co_await provider.until_asked("/keys", 1);
    source.cancel();
    while (waits.error().code != ErrorCode::kCancelled) {
      co_await boost::asio::post(co_await boost::asio::this_coro::executor, use_task);
    }
    provider.open_gate();
  };
  TaskGroup group(loop_.executor());
  group.spawn(into(verifier().verify(token(), loop_, {}), results[0]));
  group.spawn(into(verifier().verify(token(), loop_, source.token()), results[1]));
  group.spawn(play(provider_, source, results[1]));
  run_task(loop_, group.join());
  EXPECT_TRUE(results[0]);
  EXPECT_FALSE(results[1]);
}

TEST_F(IssuerKeysTest, LoopsShareTheKeys) {
  Loop other("other");
  net::HttpClient client(other, {});
  verifier().add_loop(other, client);
  EXPECT_TRUE(good(token()));
  TokenResult result = std::unexpected(Error{});
  run_task(other, into(verifier().verify(token(), other, {}), result));
  EXPECT_TRUE(result);
  EXPECT_EQ(provider_.fetches(), 1);
  verifier_.reset();
}

TEST_F(IssuerKeysTest, KeysOfUnknownTypesAreLeftOut) {
  provider_.answers["/keys"].body = R"({"keys":[{"kty":"future"},)" + json::write(key_.public_json()) + "]}";
  EXPECT_TRUE(good(token()));
}

}  // namespace
}  // namespace llm::access
