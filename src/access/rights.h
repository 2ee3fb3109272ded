#pragma once

#include <string>
#include <vector>

#include "access/identity.h"

namespace llm::access {

// What somebody may: rules, narrowed by scopes and models. Views; nothing of it is owned.
struct Rights {
  const std::vector<Rule>& rules;
  PermissionSet scopes = PermissionSet::all();
  const std::vector<std::string>* models = nullptr;  // null: no restriction
};
Rights rights_of(const Identity& identity);

// May who has `outer` do all that who has `inner` may? False where patterns cannot be compared.
bool rights_within(const Rights& inner, const Rights& outer);

// Is every pattern of `inner` within one of `outer`?
bool patterns_within(const std::vector<std::string>& inner, const std::vector<std::string>& outer);

}  // namespace llm::access
