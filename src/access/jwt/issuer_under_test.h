#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "access/identity.h"
#include "access/jwt/token_issuer.h"
#include "access/jwt/token_verifier.h"
#include "store/temporary_sqlite.h"

// For tests: identities of keys, a clock by hand, and an issuer on a database.
namespace llm::access {

inline constexpr std::int64_t kStart = 1'800'000'000'000;  // 2027-01-15

inline std::shared_ptr<Identity> key_identity(const std::string& id = "key1",
                                              PermissionSet permissions = {Permission::kGenerate,
                                                                           Permission::kModelsRead}) {
  auto out = std::make_shared<Identity>();
  out->kind = Identity::Kind::kKey;
  out->id = "key:" + id;
  out->key_id = id;
  out->role = "user";
  auto project = std::make_shared<Project>();
  project->id = "team";
  out->project = project;
  out->rules = std::make_shared<const std::vector<Rule>>(std::vector<Rule>{{.permissions = permissions}});
  return out;
}

// Whatever key is asked for is good.
inline KeyLookup any_key() {
  return [](std::string_view id) { return key_identity(std::string(id)); };
}

inline const MasterSecret& secret_under_test() {
  static const MasterSecret secret(Key256{1, 2, 3});
  return secret;
}

// What a request does with an own token.
inline Result<VerifiedToken> verify(const TokenIssuer& issuer, std::string_view token, std::int64_t now) {
  const auto parts = take_apart(token, 16 * 1024);
  if (!parts) return fail(parts.error());
  if (!issuer.is_ours(*parts)) return fail(ErrorCode::kUnauthenticated, "another issuer");
  return issuer.verify(*parts, now);
}

}  // namespace llm::access
