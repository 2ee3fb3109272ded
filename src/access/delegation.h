#pragma once

#include <memory>
#include <optional>
#include <string>

#include "access/principal.h"
#include "access/role.h"
#include "access/stored_settings.h"
#include "store/directory_tables.h"

namespace llm::access {

// What a key is given, or is about to be given.
struct Grant {
  std::shared_ptr<const std::vector<Rule>> rules;  // of its role
  std::shared_ptr<const Caps> caps;                // of its role
  KeySettings settings;
  std::int64_t expires = 0;
};

// What somebody who manages keys may hand out: never more than it has itself. Who may do everything on every model is
// not bound; for anybody else what a request leaves open becomes what the giver has, and what goes beyond it is
// kPermissionDenied with a JSON Pointer.
class Delegation {
 public:
  // Reads the giver's own key, if it has one: its addresses, limits and expiry bind too. kUnauthenticated if it is
  // gone.
  static Result<Delegation> of(store::Session& session, const Principal& actor);

  // May the giver see and manage every project?
  bool everywhere() const { return everywhere_; }
  bool sees(const std::string& project) const { return everywhere_ || project == project_; }
  const std::string& project() const { return project_; }
  bool bound() const { return identity_ != nullptr; }

  // Role, scopes and models together; caps. Fills in models.
  Result<void> bind_rights(Grant& grant) const;
  // May the giver manage a key that has this? Who could rotate a stronger key would have it.
  Result<void> check_reach(const Grant& grant) const;
  Result<void> bind_addresses(Grant& grant) const;
  Result<void> bind_limits(Grant& grant) const;
  Result<void> bind_expiry(Grant& grant) const;
  Result<void> bind_order(Grant& grant) const;  // priority and weight

 private:
  const Identity* identity_ = nullptr;  // null: not bound. The actor's, who outlives this
  std::string project_;
  bool everywhere_ = false;
  KeySettings own_;  // of the giver's key
  std::int64_t own_expires_ = 0;
};

}  // namespace llm::access
