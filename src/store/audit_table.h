#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/database.h"

// The audit trail's copy in the database. Rows are added and, when they are older than the retention, removed from the
// front; they are never changed.
namespace llm::store {

struct AuditRow {
  std::string chain;      // one for each gateway's file
  std::int64_t seq = 0;   // 1, 2, … within the chain
  std::int64_t time = 0;  // milliseconds since 1970
  std::string principal;
  std::string project;
  std::string action;  // "generate", "key.create", …
  std::string target;  // a model, a key's id, …
  std::string address;
  std::string outcome;  // "ok", an error's name
  std::string record;   // the JSON line that was hashed
  std::string hash;     // 64 hex digits
  friend bool operator==(const AuditRow&, const AuditRow&) = default;
};
Result<void> append_audit(Session& session, const std::vector<AuditRow>& rows);  // a row that is there already is left

struct AuditQuery {
  std::int64_t from = 0;
  std::int64_t to = 0;  // both included; 0: no end
  std::string principal = {};
  std::string project = {};
  std::string action = {};  // a prefix: "key." finds all about keys
  std::int64_t limit = 100;
  std::int64_t before_id = 0;  // to page back; 0: the newest
};
struct AuditEntry {
  std::int64_t id = 0;
  AuditRow row;
};
Result<std::vector<AuditEntry>> audit(Session& session, const AuditQuery& query);  // newest first
Result<std::vector<AuditRow>> audit_chain(Session& session, const std::string& chain, std::int64_t after_seq,
                                          std::int64_t limit);
Result<std::optional<AuditRow>> audit_last(Session& session, const std::string& chain);  // the newest row of a chain
Result<std::vector<std::string>> audit_chains(Session& session);
Result<void> remove_audit(Session& session, std::int64_t older_than);

}  // namespace llm::store
