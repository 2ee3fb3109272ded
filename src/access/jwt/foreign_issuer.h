#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "access/jwt/claims.h"
#include "access/jwt/issuer_keys.h"
#include "access/jwt/issuer_settings.h"
#include "access/jwt/token_verifier.h"

namespace llm::access {

// One issuer of the configuration: its keys, and what its tokens mean here. Any thread.
class ForeignIssuer {
 public:
  ForeignIssuer(std::string name, IssuerSettings settings, observe::Log& log);
  // kInvalidArgument, with pointers relative to the issuer's settings.
  static Result<void> check(const IssuerSettings& settings);

  const std::string& issuer() const { return settings_.issuer; }
  IssuerKeys& keys() { return keys_; }

  struct Outcome {
    FetchReason fetch = FetchReason::kNone;                  // not kNone: fetch, then ask again
    Result<VerifiedToken> token = std::unexpected(Error{});  // where there is nothing to fetch
  };
  Outcome verify(const UnverifiedToken& token, std::int64_t now_ms) const;

 private:
  Result<VerifiedToken> read(const UnverifiedToken& token, std::int64_t now_ms) const;
  Result<void> check_own_claims(const json::object& claims) const;
  Result<std::vector<std::string>> roles_of(const json::object& claims) const;
  Result<std::string> project_of(const json::object& claims) const;
  PermissionSet scopes_of(const json::object& claims) const;

  std::string name_;
  IssuerSettings settings_;
  std::vector<JwsAlgorithm> algorithms_;
  IssuerKeys keys_;  // refers to settings_
};

}  // namespace llm::access
