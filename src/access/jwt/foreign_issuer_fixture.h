#pragma once

#include <cstdint>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "access/jwt/issuer_under_test.h"
#include "access/jwt/provider_under_test.h"
#include "access/jwt/token_verifier.h"
#include "async/run_task.h"
#include "net/http_client.h"
#include "observe/log_capture.h"

namespace llm::access {

// A provider, a verifier that trusts it as "corp", and tokens.
class ForeignIssuerTest : public testing::Test {
 protected:
  ForeignIssuerTest() {
    settings_.issuer = provider_.issuer();
    settings_.audience = {"gateway"};
    settings_.role_claim = "realm_access.roles";
    settings_.roles = {{"llm-users", "user"}, {"llm-admins", "admin"}};
    provider_.publish({key_});
  }
  ~ForeignIssuerTest() override {
    verifier_.reset();
    run_task(loop_, provider_.stop());
  }

  TokenVerifier& verifier() {
    if (!verifier_) {
      EXPECT_TRUE(TokenVerifier::check({{"corp", settings_}}));
      verifier_.emplace(VerifierSettings{.issuers = {{"corp", settings_}}}, nullptr, capture_.log(),
                        [this] { return now_; });
      verifier_->add_loop(loop_, client_);
    }
    return *verifier_;
  }
  json::object claims() const {
    return {{"iss", settings_.issuer},
            {"aud", "gateway"},
            {"sub", "somebody"},
            {"iat", now_ / 1000},
            {"exp", now_ / 1000 + 600},
            {"jti", std::to_string(++*count_)},
            {"realm_access", json::object{{"roles", json::array{"offline_access", "llm-users"}}}}};
  }
  json::object with(std::string_view name, const json::value& value) const {
    auto out = claims();
    out[name] = value;
    return out;
  }
  std::string token(const Jwk& key, const json::object& object) const { return provider_.sign(key, object); }
  std::string token() const { return token(key_, claims()); }

  TokenResult verify(const std::string& text, CancelToken cancel = {}) {
    TokenResult out = std::unexpected(Error{});
    run_task(loop_, into(verifier().verify(text, loop_, cancel), out));
    return out;
  }
  static Task<void> into(Task<TokenResult> task, TokenResult& out) { out = co_await std::move(task); }
  bool good(const std::string& text) { return verify(text).has_value(); }
  ErrorCode error(const std::string& text) {
    const auto result = verify(text);
    EXPECT_FALSE(result);
    return result ? ErrorCode::kInternal : result.error().code;
  }

  std::unique_ptr<int> count_ = std::make_unique<int>(0);
  std::int64_t now_ = kStart;
  Loop loop_{"test"};
  net::HttpClient client_{loop_, {}};
  observe::LogCapture capture_;
  ProviderUnderTest provider_{loop_};
  Jwk key_ = Jwk::generate(JwsAlgorithm::kEdDSA).value();
  IssuerSettings settings_;
  std::optional<TokenVerifier> verifier_;
};

}  // namespace llm::access
