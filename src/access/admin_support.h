#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "access/admin_requests.h"
#include "access/directory_builder.h"
#include "store/directory_tables.h"

// What the parts of AccessAdmin share.
namespace llm::access {

std::optional<std::string> time_or_nothing(std::int64_t ms);  // nothing for 0

// Names are for people and go into logs: no control bytes, well-formed UTF-8.
Result<void> check_name(std::string_view name, std::string_view pointer);
// [a-z0-9][a-z0-9<more>]*
bool is_small_name(std::string_view text, std::string_view more);
// What may go into the trail as a target: ids and names, never a whole key that somebody took for its id.
std::string safe_target(std::string_view id);

// Built in or custom. kNotFound at "/role".
Result<Role> find_role_named(store::Session& session, const std::string& name);

// Keys that may do everything now, among all rows.
class AdminKeys {
 public:
  AdminKeys(const store::DirectoryRows& rows, std::int64_t now_ms);
  bool usable(const store::KeyRow& row);
  // kConflict if none would be left of those that there are.
  Result<void> stay(const std::function<bool(const store::KeyRow&)>& goes);

 private:
  const store::DirectoryRows& rows_;
  std::int64_t now_ms_;
  ProjectMap projects_;
  RoleMap roles_;
  std::set<std::string, std::less<>> disabled_users_;
  KeyBuilder builder_;
};
// The same, read from the database.
Result<void> keep_an_admin_key(store::Session& session, std::int64_t now_ms,
                               const std::function<bool(const store::KeyRow&)>& goes);

}  // namespace llm::access
