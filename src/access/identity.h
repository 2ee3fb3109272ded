#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "access/caps.h"
#include "access/limits/policy.h"
#include "access/pattern.h"
#include "access/permission.h"

namespace llm::access {

struct VerifiedToken;  // access/jwt/token_verifier.h

// Some permissions on some models.
struct Rule {
  PermissionSet permissions;
  std::vector<std::string> models = {};  // patterns with '*'; empty: all. "llama3" also means "llama3:8b"
  friend bool operator==(const Rule&, const Rule&) = default;
};

enum class Priority : std::uint8_t { kInteractive, kBatch };

// Where a project's requests may be answered: anywhere, or on this machine only (no provider elsewhere gets them).
enum class ProjectLocality : std::uint8_t { kAny, kLocalOnly };

// A project (tenant): what its keys and users share. Immutable.
struct Project {
  std::string id = "default";
  std::string name = {};
  double weight = 1;  // its share of busy engines, relative to other projects
  LimitPolicy limits = {};
  bool audit_prompts = false;  // prompts and answers go into the audit trail
  bool disabled = false;
  ProjectLocality locality = ProjectLocality::kAny;
};

// Who somebody is and what it may. Immutable; made from a key, a token or a certificate when the directory changes, not
// when a request comes.
class Identity {
 public:
  enum class Kind : std::uint8_t { kKey, kToken, kCertificate };

  Kind kind = Kind::kKey;
  Priority priority = Priority::kInteractive;
  PermissionSet scopes = PermissionSet::all();  // narrows the rules
  std::string id = {};                          // Principal::id
  std::string key_id = {};                      // of the key it is or that a token was traded for; else empty
  std::string user = {};                        // may be empty
  std::string name = {};                        // for people
  std::string role = {};
  std::shared_ptr<const Project> project = {};  // never null
  // Shared by all who have the role; never null.
  std::shared_ptr<const std::vector<Rule>> rules = {};
  std::shared_ptr<const std::vector<std::string>> models = {};  // narrows the rules; null: no restriction
  std::shared_ptr<const LimitPolicy> limits = {};               // of the key itself; null: the default for keys
  std::shared_ptr<const Caps> caps = {};                        // null: the default
  bool local_only = false;  // one of several roles keeps what it asks on this machine, whatever the caps
  double weight = 1;        // its share within its project
  std::shared_ptr<const VerifiedToken> token = {};  // kToken: to ask later whether it still holds

  bool may(Permission permission) const;  // on some model
  bool may(Permission permission, std::string_view model) const;
  PermissionSet permissions() const;  // all it may, on some model
};

}  // namespace llm::access

template <>
struct llm::json::EnumNames<llm::access::Priority> {
  static constexpr std::array<std::pair<access::Priority, std::string_view>, 2> values = {{
      {access::Priority::kInteractive, "interactive"},
      {access::Priority::kBatch, "batch"},
  }};
};
template <>
struct llm::json::EnumNames<llm::access::ProjectLocality> {
  static constexpr std::array<std::pair<access::ProjectLocality, std::string_view>, 2> values = {{
      {access::ProjectLocality::kAny, "any"},
      {access::ProjectLocality::kLocalOnly, "local_only"},
  }};
};
