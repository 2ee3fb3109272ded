#include "store/audit_table.h"

#include <algorithm>
#include <limits>
#include <soci/soci.h>

#include "store/session.h"

namespace llm::store {
namespace {

using soci::into;
using soci::use;

constexpr const char* kColumns =
    "chain, seq, time_ms, principal, project, action, target, address, outcome, record, hash";

void fields(soci::statement& statement, AuditRow& row) {
  statement.exchange(into(row.chain));
  statement.exchange(into(row.seq));
  statement.exchange(into(row.time));
  statement.exchange(into(row.principal));
  statement.exchange(into(row.project));
  statement.exchange(into(row.action));
  statement.exchange(into(row.target));
  statement.exchange(into(row.address));
  statement.exchange(into(row.outcome));
  statement.exchange(into(row.record));
  statement.exchange(into(row.hash));
}

}  // namespace

Result<void> append_audit(Session& session, const std::vector<AuditRow>& rows) {
  AuditRow row;
  soci::statement statement =
      (session.sql.prepare << "INSERT INTO audit (chain, seq, time_ms, principal, project, action, target, address, "
                              "outcome, record, hash) VALUES (:chain, :seq, :time_ms, :principal, :project, :action, "
                              ":target, :address, :outcome, :record, :hash) ON CONFLICT (chain, seq) DO NOTHING",
       use(row.chain), use(row.seq), use(row.time), use(row.principal), use(row.project), use(row.action),
       use(row.target), use(row.address), use(row.outcome), use(row.record), use(row.hash));
  for (const AuditRow& next : rows) {
    require_text({&next.chain, &next.principal, &next.project, &next.action, &next.target, &next.address, &next.outcome,
                  &next.record, &next.hash});
    row = next;
    statement.execute(true);
  }
  return {};
}

Result<std::vector<AuditEntry>> audit(Session& session, const AuditQuery& query) {
  require_text({&query.principal, &query.project, &query.action});
  AuditEntry entry;
  soci::statement statement(session.sql);
  std::string sql = std::string("SELECT id, ") + kColumns + " FROM audit WHERE time_ms >= :from";
  statement.exchange(into(entry.id));
  fields(statement, entry.row);
  statement.exchange(use(query.from));
  const auto number = [&](const char* condition, const std::int64_t& value) {
    if (value == 0) return;
    sql += condition;
    statement.exchange(use(value));
  };
  const auto word = [&](const char* condition, const std::string& value) {
    if (value.empty()) return;
    sql += condition;
    statement.exchange(use(value));
  };
  number(" AND time_ms <= :to", query.to);
  number(" AND id < :before_id", query.before_id);
  word(" AND principal = :principal", query.principal);
  word(" AND project = :project", query.project);
  if (!query.action.empty()) {
    word(" AND substr(action, 1, length(:prefix)) =", query.action);
    word(" :action", query.action);
  }
  sql += " ORDER BY id DESC LIMIT :limit";
  const std::int64_t limit = std::max<std::int64_t>(query.limit, 0);
  statement.exchange(use(limit));
  statement.alloc();
  statement.prepare(sql);
  statement.define_and_bind();
  statement.execute();
  std::vector<AuditEntry> entries;
  while (statement.fetch()) entries.push_back(entry);
  return entries;
}

Result<std::vector<AuditRow>> audit_chain(Session& session, const std::string& chain, std::int64_t after_seq,
                                          std::int64_t limit) {
  require_text({&chain});
  AuditRow row;
  soci::statement statement(session.sql);
  fields(statement, row);
  statement.exchange(use(chain));
  statement.exchange(use(after_seq));
  statement.exchange(use(limit));
  statement.alloc();
  statement.prepare(std::string("SELECT ") + kColumns +
                    " FROM audit WHERE chain = :chain AND seq > :after_seq ORDER BY seq LIMIT :limit");
  statement.define_and_bind();
  statement.execute();
  std::vector<AuditRow> rows;
  while (statement.fetch()) rows.push_back(row);
  return rows;
}

Result<std::optional<AuditRow>> audit_last(Session& session, const std::string& chain) {
  require_text({&chain});
  AuditRow row;
  soci::statement statement(session.sql);
  fields(statement, row);
  statement.exchange(use(chain));
  statement.alloc();
  statement.prepare(std::string("SELECT ") + kColumns + " FROM audit WHERE chain = :chain ORDER BY seq DESC LIMIT 1");
  statement.define_and_bind();
  statement.execute();
  if (!statement.fetch()) return std::nullopt;
  return row;
}

Result<std::vector<std::string>> audit_chains(Session& session) {
  std::vector<std::string> chains;
  std::string chain;
  soci::statement statement = (session.sql.prepare << "SELECT DISTINCT chain FROM audit ORDER BY chain", into(chain));
  statement.execute();
  while (statement.fetch()) chains.push_back(chain);
  return chains;
}

Result<void> remove_audit(Session& session, std::int64_t older_than) {
  auto chains = audit_chains(session);
  if (!chains) return fail(std::move(chains.error()));
  for (const std::string& chain : *chains) {
    // From the front only: a clock that was set back must not tear a hole into the chain.
    std::int64_t first_kept = 0;
    const std::int64_t none = std::numeric_limits<std::int64_t>::max();
    session.sql << "SELECT coalesce(min(seq), :none) FROM audit WHERE chain = :chain AND time_ms >= :older_than",
        use(none), use(chain), use(older_than), into(first_kept);
    session.sql << "DELETE FROM audit WHERE chain = :chain AND seq < :first_kept", use(chain), use(first_kept);
  }
  return {};
}

}  // namespace llm::store
