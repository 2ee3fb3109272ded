#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "access/authenticator.h"
#include "access/directory_under_test.h"
#include "access/jwt/issuer_under_test.h"
#include "observe/log.h"

// For tests: an authenticator over a real directory, with tokens of our own and a clock by hand.
namespace llm::access {

struct AuthenticatorUnderTest : DirectoryUnderTest {
  std::atomic<std::int64_t> now{kStart};
  std::function<std::int64_t()> clock = [this] { return now.load(); };
  TokenSettings token_settings;
  TokenIssuer issuer{token_settings, *database, secret_under_test(), clock};
  observe::Log log;
  TokenVerifier verifier{{}, &issuer, log, clock};
  LoginThrottle throttle{{.failures = 5, .window_ms = 60'000, .block_ms = 60'000, .max_addresses = 100}};
  AuthenticatorSettings settings;
  std::unique_ptr<Authenticator> authenticator;

  AuthenticatorUnderTest() {
    EXPECT_TRUE(issuer.refresh());
    make();
  }
  // Anew, for changed settings.
  void make() { authenticator = std::make_unique<Authenticator>(settings, directory, &verifier, throttle, clock); }

  Result<Principal> try_it(const Credentials& credentials) {
    auto done = authenticator->try_authenticate(credentials);
    if (!done) return fail(ErrorCode::kInternal, "would have to fetch");
    return std::move(*done);
  }
  Result<Principal> bearer(const std::string& text, std::string_view address = "10.0.0.1:1000") {
    const std::string field = "Bearer " + text;
    return try_it({.authorization = field, .api_key = {}, .subprotocols = {}, .address = address});
  }
  // An access token for a key that is in the directory.
  std::string token_of(const std::string& key_id, std::optional<std::string_view> scope = {}) {
    const auto grant = issuer.issue(*directory.identity("key:" + key_id, now.load()), scope);
    EXPECT_TRUE(grant) << to_string(grant.error());
    return grant ? grant->access_token : std::string();
  }
};

}  // namespace llm::access
