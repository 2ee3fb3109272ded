#include "access/identity.h"

#include <algorithm>

#include "access/pattern.h"

namespace llm::access {
namespace {

bool any_matches(const std::vector<std::string>& patterns, std::string_view model) {
  return std::ranges::any_of(patterns, [&](const std::string& pattern) { return model_matches(pattern, model); });
}

}  // namespace

bool Identity::may(Permission permission) const {
  if (permission <= Permission::kAuthenticated) return true;
  if (!scopes.has(permission) || rules == nullptr) return false;
  return std::ranges::any_of(*rules, [&](const Rule& rule) { return rule.permissions.has(permission); });
}

bool Identity::may(Permission permission, std::string_view model) const {
  if (permission <= Permission::kAuthenticated) return true;
  if (!scopes.has(permission) || rules == nullptr) return false;
  if (models && !any_matches(*models, model)) return false;
  return std::ranges::any_of(*rules, [&](const Rule& rule) {
    return rule.permissions.has(permission) && (rule.models.empty() || any_matches(rule.models, model));
  });
}

PermissionSet Identity::permissions() const {
  PermissionSet out;
  if (rules == nullptr) return out;
  for (const Rule& rule : *rules) out = out | rule.permissions;
  return out & scopes;
}

}  // namespace llm::access
