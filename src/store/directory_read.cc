#include <soci/soci.h>

#include "store/directory_sql.h"

namespace llm::store {
namespace {

using soci::into;
using soci::use;

struct TableOf {
  std::string_view select;  // the columns in the order of fields()
  std::string_view key;
  std::string_view present = {};  // a condition for what was not removed
};

TableOf table(const ProjectRow&) {
  return {"SELECT id, name, settings, created, disabled FROM projects", "id"};
}
void fields(soci::statement& statement, ProjectRow& row) {
  statement.exchange(into(row.id));
  statement.exchange(into(row.name));
  statement.exchange(into(row.settings));
  statement.exchange(into(row.created));
  statement.exchange(into(row.disabled));
}

TableOf table(const UserRow&) {
  return {"SELECT id, project, name, kind, role, created, disabled FROM users", "id"};
}
void fields(soci::statement& statement, UserRow& row) {
  statement.exchange(into(row.id));
  statement.exchange(into(row.project));
  statement.exchange(into(row.name));
  statement.exchange(into(row.kind));
  statement.exchange(into(row.role));
  statement.exchange(into(row.created));
  statement.exchange(into(row.disabled));
}

TableOf table(const RoleRow&) {
  return {"SELECT name, rules, created FROM roles", "name", "removed = 0"};
}
void fields(soci::statement& statement, RoleRow& row) {
  statement.exchange(into(row.name));
  statement.exchange(into(row.rules));
  statement.exchange(into(row.created));
}

TableOf table(const KeyRow&) {
  return {
      "SELECT id, project, coalesce(user_id, ''), name, role, hash, old_hash, old_until, settings, created, expires, "
      "revoked, last_used FROM api_keys",
      "id"};
}
void fields(soci::statement& statement, KeyRow& row) {
  statement.exchange(into(row.id));
  statement.exchange(into(row.project));
  statement.exchange(into(row.user));
  statement.exchange(into(row.name));
  statement.exchange(into(row.role));
  statement.exchange(into(row.hash));
  statement.exchange(into(row.old_hash));
  statement.exchange(into(row.old_until));
  statement.exchange(into(row.settings));
  statement.exchange(into(row.created));
  statement.exchange(into(row.expires));
  statement.exchange(into(row.revoked));
  statement.exchange(into(row.last_used));
}

template <class Row>
void decode(Row&) {}
void decode(KeyRow& row) {
  row.hash = from_hex(row.hash);
  row.old_hash = from_hex(row.old_hash);
}

}  // namespace

template <class Row>
std::vector<Row> read_rows(Session& session, const RowFilter& filter) {
  if (filter.id) require_text({&*filter.id});
  Row row;
  const TableOf of = table(row);
  std::string query(of.select);
  std::string_view word = " WHERE ";
  const auto condition = [&](std::string_view text) {
    query.append(word).append(text);
    word = " AND ";
  };
  if (filter.id) condition(std::string(of.key) + " = :id");
  if (filter.changed_after) condition("revision > :revision");
  if (!filter.changed_after && !of.present.empty()) condition(of.present);

  std::vector<Row> rows;
  soci::statement statement(session.sql);
  fields(statement, row);
  if (filter.id) statement.exchange(use(*filter.id));
  if (filter.changed_after) statement.exchange(use(*filter.changed_after));
  statement.alloc();
  statement.prepare(query);
  statement.define_and_bind();
  statement.execute();
  while (statement.fetch()) {
    rows.push_back(row);
    decode(rows.back());
  }
  return rows;
}

template std::vector<ProjectRow> read_rows(Session&, const RowFilter&);
template std::vector<UserRow> read_rows(Session&, const RowFilter&);
template std::vector<RoleRow> read_rows(Session&, const RowFilter&);
template std::vector<KeyRow> read_rows(Session&, const RowFilter&);

void lock_directory(Session& session) {
  if (session.directory_locked || !session.writes || !session.postgres()) return;
  session.sql << "SELECT revision FROM directory WHERE id = 1 FOR UPDATE";
  session.directory_locked = true;
}

std::int64_t next_revision(Session& session) {
  if (session.revision == 0) {
    session.sql << "UPDATE directory SET revision = revision + 1 WHERE id = 1 RETURNING revision",
        into(session.revision);
    session.directory_locked = true;
  }
  return session.revision;
}

Result<DirectoryRows> load_directory_changes(Session& session, std::int64_t revision) {
  lock_directory(session);
  DirectoryRows rows;
  auto now = directory_revision(session);
  if (!now) return fail(std::move(now.error()));
  rows.revision = *now;
  if (rows.revision <= revision) return rows;
  rows.projects = read_rows<ProjectRow>(session, {.changed_after = revision});
  rows.users = read_rows<UserRow>(session, {.changed_after = revision});
  rows.roles = read_rows<RoleRow>(session, {.changed_after = revision});
  rows.keys = read_rows<KeyRow>(session, {.changed_after = revision});
  return rows;
}

Result<DirectoryRows> load_directory(Session& session) {
  lock_directory(session);
  DirectoryRows rows;
  auto now = directory_revision(session);
  if (!now) return fail(std::move(now.error()));
  rows.revision = *now;
  rows.projects = read_rows<ProjectRow>(session, {});
  rows.users = read_rows<UserRow>(session, {});
  rows.roles = read_rows<RoleRow>(session, {});
  rows.keys = read_rows<KeyRow>(session, {});
  return rows;
}

}  // namespace llm::store
