#pragma once

#include <optional>
#include <string>
#include <vector>

#include "access/identity.h"
#include "access/limits/policy.h"
#include "access/role.h"
#include "json/fields.h"

// Every request and answer of AccessAdmin. Times are ISO 8601 in UTC.
namespace llm::access {

struct CreateKeyRequest {
  std::string name;
  std::optional<std::string> role;
  std::optional<std::string> project;
  std::optional<std::string> user;
  std::optional<std::vector<std::string>> scopes;
  std::optional<std::vector<std::string>> models;
  std::optional<std::vector<std::string>> addresses;
  std::optional<std::string> expires;
  std::optional<LimitPolicy> limits;
  std::optional<Priority> priority;
  std::optional<double> weight;
};

// What is absent stays.
struct UpdateKeyRequest {
  std::optional<std::string> name;
  std::optional<std::string> role;
  std::optional<std::vector<std::string>> scopes;
  std::optional<std::vector<std::string>> models;
  std::optional<std::vector<std::string>> addresses;
  std::optional<std::string> expires;
  std::optional<LimitPolicy> limits;
  std::optional<Priority> priority;
  std::optional<double> weight;
};

struct RotateKeyRequest {
  json::Duration overlap{24LL * 3'600'000};
};

struct RevokeKeyRequest {
  bool force = false;
};

struct ListKeysQuery {
  std::optional<std::string> project;
  std::optional<std::string> user;
  bool revoked = false;
  std::int64_t limit = 1'000;
  std::string after;
};

struct KeyAnswer {
  std::string id;
  std::string name;
  std::string state;
  std::string role;
  std::string project;
  std::optional<std::string> user;
  std::optional<std::vector<std::string>> scopes;
  std::optional<std::vector<std::string>> models;
  std::optional<std::vector<std::string>> addresses;
  std::optional<LimitPolicy> limits;
  Priority priority = Priority::kInteractive;
  double weight = 1;
  std::string created;
  std::optional<std::string> expires;
  std::optional<std::string> old_secret_until;
  std::optional<std::string> revoked;
  std::optional<std::string> last_used;
  std::optional<std::string> key;  // the secret: in the answer to create and rotate alone
};
struct KeyList {
  std::vector<KeyAnswer> keys;
  std::optional<std::string> next;
};

struct CreateProjectRequest {
  std::string id;
  std::string name;
  std::optional<double> weight;
  std::optional<LimitPolicy> limits;
  std::optional<bool> audit_prompts;
  std::optional<ProjectLocality> locality;
};
struct UpdateProjectRequest {
  std::optional<std::string> name;
  std::optional<double> weight;
  std::optional<LimitPolicy> limits;
  std::optional<bool> audit_prompts;
  std::optional<ProjectLocality> locality;
  std::optional<bool> disabled;
};
struct ProjectAnswer {
  std::string id;
  std::string name;
  double weight = 1;
  std::optional<LimitPolicy> limits;
  bool audit_prompts = false;
  ProjectLocality locality = ProjectLocality::kAny;
  std::string created;
  std::optional<std::string> disabled;
};
struct ProjectList {
  std::vector<ProjectAnswer> projects;
};

enum class UserKind { kUser, kServiceAccount };

struct CreateUserRequest {
  std::optional<std::string> id;
  std::string name;
  UserKind kind = UserKind::kUser;
  std::string role = "user";
  std::optional<std::string> project;
};
struct UpdateUserRequest {
  std::optional<std::string> name;
  std::optional<UserKind> kind;
  std::optional<std::string> role;
  std::optional<bool> disabled;
};
struct ListUsersQuery {
  std::optional<std::string> project;
};
struct UserAnswer {
  std::string id;
  std::string name;
  std::string kind;
  std::string role;
  std::string project;
  std::string created;
  std::optional<std::string> disabled;
};
struct UserList {
  std::vector<UserAnswer> users;
};

struct CreateRoleRequest {
  std::string name;
  std::string description;
  std::vector<RuleDocument> rules;
  std::optional<Caps> caps;
};
struct UpdateRoleRequest {
  std::optional<std::string> description;
  std::optional<std::vector<RuleDocument>> rules;
  std::optional<Caps> caps;
};
struct RoleAnswer {
  std::string name;
  std::string description;
  std::vector<RuleDocument> rules;
  std::optional<Caps> caps;
  bool built_in = false;
};
struct RoleList {
  std::vector<RoleAnswer> roles;
};

struct UsageRequest {
  std::optional<std::string> from;
  std::optional<std::string> to;
  json::StringOrList by{{"day", "project", "key", "model"}, true};
  std::string project;
  std::string key;
  std::string model;
};
struct UsageEntry {
  std::optional<std::string> day;
  std::optional<std::string> project;
  std::optional<std::string> key;
  std::optional<std::string> model;
  std::int64_t requests = 0;
  std::int64_t failed = 0;
  std::int64_t input_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t output_tokens = 0;
};
struct UsageAnswer {
  std::string from;
  std::string to;
  std::vector<UsageEntry> usage;
  UsageEntry total;
};

struct AuditRequest {
  std::optional<std::string> from;
  std::optional<std::string> to;
  std::string principal;
  std::string project;
  std::string action;
  std::int64_t limit = 100;
  std::int64_t before = 0;
};
struct AuditAnswer {
  std::vector<json::object> records;
  std::optional<std::int64_t> next;
};

// {"revoked": "true", "limit": "10"} with the types that the table wants. Texts that are neither stay for the decoder
// to refuse.
json::object typed_query(json::object query, const json::TableBase& table);

}  // namespace llm::access

template <>
struct llm::json::EnumNames<llm::access::UserKind> {
  static constexpr std::array<std::pair<access::UserKind, std::string_view>, 2> values = {{
      {access::UserKind::kUser, "user"},
      {access::UserKind::kServiceAccount, "service_account"},
  }};
};

#define LLM_ACCESS_TABLE(Type)                  \
  template <>                                   \
  struct llm::json::Fields<llm::access::Type> { \
    static const Table<access::Type>& table();  \
  }
LLM_ACCESS_TABLE(CreateKeyRequest);
LLM_ACCESS_TABLE(UpdateKeyRequest);
LLM_ACCESS_TABLE(RotateKeyRequest);
LLM_ACCESS_TABLE(RevokeKeyRequest);
LLM_ACCESS_TABLE(ListKeysQuery);
LLM_ACCESS_TABLE(KeyAnswer);
LLM_ACCESS_TABLE(KeyList);
LLM_ACCESS_TABLE(CreateProjectRequest);
LLM_ACCESS_TABLE(UpdateProjectRequest);
LLM_ACCESS_TABLE(ProjectAnswer);
LLM_ACCESS_TABLE(ProjectList);
LLM_ACCESS_TABLE(CreateUserRequest);
LLM_ACCESS_TABLE(UpdateUserRequest);
LLM_ACCESS_TABLE(ListUsersQuery);
LLM_ACCESS_TABLE(UserAnswer);
LLM_ACCESS_TABLE(UserList);
LLM_ACCESS_TABLE(CreateRoleRequest);
LLM_ACCESS_TABLE(UpdateRoleRequest);
LLM_ACCESS_TABLE(RoleAnswer);
LLM_ACCESS_TABLE(RoleList);
LLM_ACCESS_TABLE(UsageRequest);
LLM_ACCESS_TABLE(UsageEntry);
LLM_ACCESS_TABLE(UsageAnswer);
LLM_ACCESS_TABLE(AuditRequest);
LLM_ACCESS_TABLE(AuditAnswer);
#undef LLM_ACCESS_TABLE
