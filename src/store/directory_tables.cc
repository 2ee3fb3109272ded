#include "store/directory_tables.h"

#include <algorithm>
#include <fmt/format.h>
#include <soci/soci.h>

#include "store/directory_sql.h"
#include "store/session.h"

namespace llm::store {
namespace {

using soci::into;
using soci::use;

template <class Row>
Result<std::optional<Row>> find(Session& session, const std::string& id) {
  if (!storable(id)) return std::nullopt;
  lock_directory(session);
  std::vector<Row> rows = read_rows<Row>(session, {.id = id});
  if (rows.empty()) return std::nullopt;
  return std::move(rows.front());
}

bool exists(Session& session, const char* query, const std::string& id) {
  require_text({&id});
  std::int64_t count = 0;
  session.sql << query, use(id), into(count);
  return count > 0;
}

bool project_exists(Session& session, const std::string& id) {
  return exists(session, "SELECT count(*) FROM projects WHERE id = :id", id);
}
bool user_exists(Session& session, const std::string& id) {
  return exists(session, "SELECT count(*) FROM users WHERE id = :id", id);
}
bool role_exists(Session& session, const std::string& name) {
  return built_in_role(name) || exists(session, "SELECT count(*) FROM roles WHERE name = :name AND removed = 0", name);
}

std::unexpected<Error> missing(std::string_view kind, const std::string& id, std::string pointer) {
  return fail(ErrorCode::kNotFound, fmt::format("there is no {} '{}'", kind, id), std::move(pointer));
}
std::unexpected<Error> not_found(std::string_view kind, const std::string& id) {
  return fail(ErrorCode::kNotFound, fmt::format("there is no {} '{}'", kind, id));
}
std::unexpected<Error> already(std::string_view kind, const std::string& id) {
  return fail(ErrorCode::kAlreadyExists, fmt::format("there is a {} '{}' already", kind, id));
}

Result<void> check_references(Session& session, const UserRow& row) {
  require_text({&row.id, &row.project, &row.name, &row.kind, &row.role});
  if (!project_exists(session, row.project)) return missing("project", row.project, "/project");
  if (row.disabled == 0 && !role_exists(session, row.role)) return missing("role", row.role, "/role");
  return {};
}

Result<void> check_references(Session& session, const KeyRow& row) {
  require_text({&row.id, &row.project, &row.user, &row.name, &row.role, &row.settings});
  if (!project_exists(session, row.project)) return missing("project", row.project, "/project");
  if (!row.user.empty() && !user_exists(session, row.user)) return missing("user", row.user, "/user");
  // A revoked key may outlive its role.
  if (row.revoked == 0 && !role_exists(session, row.role)) return missing("role", row.role, "/role");
  return {};
}

// Did the statement change a row?
bool changed(soci::statement& statement) {
  statement.execute(true);
  return statement.get_affected_rows() > 0;
}

}  // namespace

bool built_in_role(std::string_view name) {
  return std::ranges::find(kBuiltInRoles, name) != std::end(kBuiltInRoles);
}

Result<std::int64_t> directory_revision(Session& session) {
  std::int64_t revision = 0;
  session.sql << "SELECT revision FROM directory WHERE id = 1", into(revision);
  return revision;
}

Result<std::optional<ProjectRow>> find_project(Session& session, const std::string& id) {
  return find<ProjectRow>(session, id);
}
Result<std::optional<UserRow>> find_user(Session& session, const std::string& id) {
  return find<UserRow>(session, id);
}
Result<std::optional<RoleRow>> find_role(Session& session, const std::string& name) {
  return find<RoleRow>(session, name);
}
Result<std::optional<KeyRow>> find_key(Session& session, const std::string& id) {
  return find<KeyRow>(session, id);
}

Result<void> insert(Session& session, const ProjectRow& row) {
  require_text({&row.id, &row.name, &row.settings});
  const std::int64_t revision = next_revision(session);
  soci::statement statement =
      (session.sql.prepare << "INSERT INTO projects (id, name, settings, created, disabled, revision) "
                              "VALUES (:id, :name, :settings, :created, :disabled, :revision) ON CONFLICT DO NOTHING",
       use(row.id), use(row.name), use(row.settings), use(row.created), use(row.disabled), use(revision));
  if (!changed(statement)) return already("project", row.id);
  return {};
}

Result<void> insert(Session& session, const UserRow& row) {
  const std::int64_t revision = next_revision(session);
  if (auto known = check_references(session, row); !known) return known;
  soci::statement statement =
      (session.sql.prepare << "INSERT INTO users (id, project, name, kind, role, created, disabled, revision) VALUES "
                              "(:id, :project, :name, :kind, :role, :created, :disabled, :revision) "
                              "ON CONFLICT DO NOTHING",
       use(row.id), use(row.project), use(row.name), use(row.kind), use(row.role), use(row.created), use(row.disabled),
       use(revision));
  if (!changed(statement)) return already("user", row.id);
  return {};
}

Result<void> insert(Session& session, const RoleRow& row) {
  require_text({&row.name, &row.rules});
  if (built_in_role(row.name)) return already("role", row.name);
  const std::int64_t revision = next_revision(session);
  // One that was removed comes back.
  soci::statement statement =
      (session.sql.prepare << "INSERT INTO roles (name, rules, created, removed, revision) "
                              "VALUES (:name, :rules, :created, 0, :revision) ON CONFLICT (name) DO UPDATE SET "
                              "rules = excluded.rules, created = excluded.created, removed = 0, "
                              "revision = excluded.revision WHERE roles.removed <> 0",
       use(row.name), use(row.rules), use(row.created), use(revision));
  if (!changed(statement)) return already("role", row.name);
  return {};
}

Result<void> insert(Session& session, const KeyRow& row) {
  const std::int64_t revision = next_revision(session);
  if (auto known = check_references(session, row); !known) return known;
  const std::string hash = to_hex(row.hash);
  const std::string old_hash = to_hex(row.old_hash);
  soci::statement statement =
      (session.sql.prepare << "INSERT INTO api_keys (id, project, user_id, name, role, hash, old_hash, old_until, "
                              "settings, created, expires, revoked, last_used, revision) VALUES (:id, :project, "
                              "NULLIF(:user, ''), :name, :role, :hash, :old_hash, :old_until, :settings, :created, "
                              ":expires, :revoked, :last_used, :revision) ON CONFLICT DO NOTHING",
       use(row.id), use(row.project), use(row.user), use(row.name), use(row.role), use(hash), use(old_hash),
       use(row.old_until), use(row.settings), use(row.created), use(row.expires), use(row.revoked), use(row.last_used),
       use(revision));
  if (!changed(statement)) return already("key", row.id);
  return {};
}

Result<void> update(Session& session, const ProjectRow& row) {
  require_text({&row.id, &row.name, &row.settings});
  const std::int64_t revision = next_revision(session);
  soci::statement statement =
      (session.sql.prepare << "UPDATE projects SET name = :name, settings = :settings, created = :created, "
                              "disabled = :disabled, revision = :revision WHERE id = :id",
       use(row.name), use(row.settings), use(row.created), use(row.disabled), use(revision), use(row.id));
  if (!changed(statement)) return not_found("project", row.id);
  return {};
}

Result<void> update(Session& session, const UserRow& row) {
  const std::int64_t revision = next_revision(session);
  if (!user_exists(session, row.id)) return not_found("user", row.id);
  if (auto known = check_references(session, row); !known) return known;
  session.sql << "UPDATE users SET project = :project, name = :name, kind = :kind, role = :role, created = :created, "
                 "disabled = :disabled, revision = :revision WHERE id = :id",
      use(row.project), use(row.name), use(row.kind), use(row.role), use(row.created), use(row.disabled), use(revision),
      use(row.id);
  return {};
}

Result<void> update(Session& session, const RoleRow& row) {
  require_text({&row.name, &row.rules});
  const std::int64_t revision = next_revision(session);
  soci::statement statement =
      (session.sql.prepare << "UPDATE roles SET rules = :rules, created = :created, revision = :revision "
                              "WHERE name = :name AND removed = 0",
       use(row.rules), use(row.created), use(revision), use(row.name));
  if (!changed(statement)) return not_found("role", row.name);
  return {};
}

Result<void> update(Session& session, const KeyRow& row) {
  const std::int64_t revision = next_revision(session);
  if (!exists(session, "SELECT count(*) FROM api_keys WHERE id = :id", row.id)) return not_found("key", row.id);
  if (auto known = check_references(session, row); !known) return known;
  const std::string hash = to_hex(row.hash);
  const std::string old_hash = to_hex(row.old_hash);
  session.sql << "UPDATE api_keys SET project = :project, user_id = NULLIF(:user, ''), name = :name, role = :role, "
                 "hash = :hash, old_hash = :old_hash, old_until = :old_until, settings = :settings, "
                 "created = :created, expires = :expires, revoked = :revoked, revision = :revision WHERE id = :id",
      use(row.project), use(row.user), use(row.name), use(row.role), use(hash), use(old_hash), use(row.old_until),
      use(row.settings), use(row.created), use(row.expires), use(row.revoked), use(revision), use(row.id);
  return {};
}

Result<void> remove_role(Session& session, const std::string& name) {
  require_text({&name});
  const std::int64_t revision = next_revision(session);
  const bool wanted = exists(session, "SELECT count(*) FROM api_keys WHERE role = :role AND revoked = 0", name) ||
                      exists(session, "SELECT count(*) FROM users WHERE role = :role AND disabled = 0", name);
  if (wanted) {
    return fail(ErrorCode::kConflict, fmt::format("a key or a user has the role '{}'; give them another first", name));
  }
  soci::statement statement =
      (session.sql.prepare << "UPDATE roles SET rules = '', created = 0, removed = 1, revision = :revision "
                              "WHERE name = :name AND removed = 0",
       use(revision), use(name));
  if (!changed(statement)) return not_found("role", name);
  return {};
}

Result<void> touch_keys(Session& session, const std::vector<KeyUse>& uses) {
  // In the same order everywhere, so that gateways do not wait for each other in a circle.
  std::vector<KeyUse> sorted = uses;
  std::ranges::sort(sorted, {}, &KeyUse::id);
  std::string id;
  std::int64_t at = 0;
  std::int64_t before = 0;
  soci::statement statement = (session.sql.prepare << "UPDATE api_keys SET last_used = :at WHERE id = :id AND "
                                                      "last_used < :before",
                               use(at), use(id), use(before));
  for (const KeyUse& key : sorted) {
    require_text({&key.id});
    id = key.id;
    at = before = key.at;
    statement.execute(true);
  }
  return {};
}

}  // namespace llm::store
