#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.h"

// Projects, users, roles and API keys. Times are milliseconds since 1970 (UTC); 0: never. JSON columns are texts that
// their owner (access/) reads and writes; this layer keeps them as they are.
namespace llm::store {

struct ProjectRow {
  std::string id;  // [a-z0-9][a-z0-9-]{0,62}
  std::string name;
  std::string settings;  // JSON: limits, quotas, weight, audit opt-in, …
  std::int64_t created = 0;
  std::int64_t disabled = 0;
};

struct UserRow {
  std::string id;
  std::string project;
  std::string name;
  std::string kind;  // "user", "service_account"
  std::string role;
  std::int64_t created = 0;
  std::int64_t disabled = 0;
};

struct RoleRow {
  std::string name;
  std::string rules;  // JSON: [{permissions: […], models: […]}], caps
  std::int64_t created = 0;
};

struct KeyRow {
  std::string id;  // the public part of the key
  std::string project;
  std::string user;  // may be empty
  std::string name;
  std::string role;
  std::string hash;      // 32 bytes
  std::string old_hash;  // after a rotation: still good until `old_until`; empty: none
  std::int64_t old_until = 0;
  std::string settings;  // JSON: scopes, models, addresses, limits, quotas, priority
  std::int64_t created = 0;
  std::int64_t expires = 0;
  std::int64_t revoked = 0;
  std::int64_t last_used = 0;
};

// Roles that every installation has: no rows, and no row may have their name.
inline constexpr std::string_view kBuiltInRoles[] = {"admin", "operator", "user", "viewer"};
bool built_in_role(std::string_view name);

// Everything above as one consistent picture, with the revision it has.
struct DirectoryRows {
  std::int64_t revision = 0;
  std::vector<ProjectRow> projects;
  std::vector<UserRow> users;
  std::vector<RoleRow> roles;
  std::vector<KeyRow> keys;
};

// Grows with every change of these tables but `touch_keys`, whoever makes it. Cheap: asked several times a second.
Result<std::int64_t> directory_revision(Session& session);
Result<DirectoryRows> load_directory(Session& session);
// What changed after `revision`: the rows as they are now (rows are never deleted, they end by `disabled`, `revoked`;
// a role that was removed comes back with empty rules and created 0).
Result<DirectoryRows> load_directory_changes(Session& session, std::int64_t revision);

// Insert; kAlreadyExists. A key's and a user's project, user and role must exist: kNotFound with a pointer "/project",
// "/user", "/role". A text that holds a NUL byte or is not UTF-8: kInvalidArgument.
Result<void> insert(Session& session, const ProjectRow& row);
Result<void> insert(Session& session, const UserRow& row);
Result<void> insert(Session& session, const RoleRow& row);
Result<void> insert(Session& session, const KeyRow& row);
// By id or name; kNotFound. References are checked as for an insert, but for the role of what is revoked or disabled.
Result<void> update(Session& session, const ProjectRow& row);
Result<void> update(Session& session, const UserRow& row);
Result<void> update(Session& session, const RoleRow& row);
Result<void> update(Session& session, const KeyRow& row);             // all but last_used
Result<void> remove_role(Session& session, const std::string& name);  // kConflict while a key that is not revoked or a
                                                                      // user that is not disabled has it

// Within a write, what was found stays as it is until the transaction ends.
Result<std::optional<ProjectRow>> find_project(Session& session, const std::string& id);
Result<std::optional<UserRow>> find_user(Session& session, const std::string& id);
Result<std::optional<RoleRow>> find_role(Session& session, const std::string& name);
Result<std::optional<KeyRow>> find_key(Session& session, const std::string& id);

// When keys were last used; only ever grows. No new revision.
struct KeyUse {
  std::string id;
  std::int64_t at = 0;
};
Result<void> touch_keys(Session& session, const std::vector<KeyUse>& uses);

}  // namespace llm::store
