#pragma once

#include <functional>
#include <string>

#include "access/audit/audit_log.h"
#include "access/directory.h"
#include "access/principal.h"
#include "json/json.h"
#include "store/database.h"

namespace llm::access {

// Managing projects, users, roles and keys, for the REST API and the command line alike: JSON in, JSON out, each shape
// declared once by its field table (admin_requests.h). Every call blocks (the database) and may run on any thread. What
// it changes is committed, audited with before and after, and in force in this process when it returns; other gateways
// follow within a second. `actor` needs the permission the route names; beyond that nobody grants what it may not do
// itself, and who is no admin stays within its project: kPermissionDenied, kNotFound. Queries may hold numbers and
// flags as text, as they stand in a URL.
class AccessAdmin {
 public:
  // `directory` may be null where no gateway runs in this process (the command line on the database itself).
  AccessAdmin(store::Database& database, Directory* directory, AuditLog& audit, std::function<std::int64_t()> now_ms);

  // {name, role? (the user's, else "user"), project? (an admin's: "default", else one's own), user?, scopes?, models?,
  // addresses?, expires? ("90d" or a time), limits?,
  //  priority?, weight?} -> a key and {"key": "llm_…"}, which is shown this once
  Result<json::object> create_key(json::object request, const Principal& actor);
  Result<json::object> list_keys(json::object query,
                                 const Principal& actor);  // {project?, user?, revoked?} -> {keys: […]}
  Result<json::object> show_key(std::string id, const Principal& actor);
  Result<json::object> update_key(std::string id, json::object changes, const Principal& actor);
  // {overlap?="24h"} -> a key and {"key": …}; the old secret works until the overlap is over
  Result<json::object> rotate_key(std::string id, json::object request, const Principal& actor);
  // {force?}: kConflict for the last key that may do everything, unless forced
  Result<json::object> revoke_key(std::string id, json::object request, const Principal& actor);

  Result<json::object> create_project(json::object request, const Principal& actor);
  Result<json::object> list_projects(const Principal& actor);
  Result<json::object> show_project(std::string id, const Principal& actor);
  Result<json::object> update_project(std::string id, json::object changes, const Principal& actor);
  Result<json::object> disable_project(std::string id, const Principal& actor);

  Result<json::object> create_user(json::object request, const Principal& actor);
  Result<json::object> list_users(json::object query, const Principal& actor);
  Result<json::object> show_user(std::string id, const Principal& actor);
  Result<json::object> update_user(std::string id, json::object changes, const Principal& actor);
  Result<json::object> disable_user(std::string id, const Principal& actor);

  Result<json::object> create_role(json::object request, const Principal& actor);
  Result<json::object> list_roles(const Principal& actor);
  Result<json::object> show_role(std::string name, const Principal& actor);
  Result<json::object> update_role(std::string name, json::object changes, const Principal& actor);
  Result<json::object> remove_role(std::string name, const Principal& actor);

  // {from?, to?, by? (list of "key","project","model","day"), key?, project?, model?} -> {usage: [{…}], total: {…}}
  Result<json::object> usage(json::object query, const Principal& actor);
  Result<json::object> audit(json::object query,
                             const Principal& actor);  // {from?, to?, principal?, action?, limit?, before?}

 private:
  // What a change did: for the audit trail and the answer.
  struct Change {
    std::string target;
    std::string project;
    json::object before;
    json::object after;
  };
  using Work = std::function<Result<Change>(store::Session&)>;
  // Commits `work`, lets the directory follow, audits; -> what is there now.
  Result<json::object> change(std::string action, std::string target, const Principal& actor, const Work& work);
  Result<json::object> change_user(std::string action, std::string id, json::object changes, const Principal& actor);
  Result<json::object> change_project(std::string action, std::string id, json::object changes, const Principal& actor);
  std::int64_t last_used(const std::string& key, std::int64_t saved) const;

  store::Database& database_;
  Directory* directory_;
  AuditLog& audit_;
  std::function<std::int64_t()> now_ms_;
};

}  // namespace llm::access
