#include "access/rights.h"

#include <algorithm>

#include "access/pattern.h"

namespace llm::access {
namespace {

// The models that a rule of `inner` reaches are those of `rule` that are also among `narrowed`; a set holds them all if
// it holds either.
bool either_within(const Rule& rule, const std::vector<std::string>* narrowed, const std::vector<std::string>& outer) {
  return (!rule.models.empty() && patterns_within(rule.models, outer)) ||
         (narrowed != nullptr && patterns_within(*narrowed, outer));
}

bool allows(const Rights& rights, const Rule& rule, Permission permission) {
  return rights.scopes.has(permission) && rule.permissions.has(permission);
}

bool granted(const Rule& rule, const std::vector<std::string>* narrowed, Permission permission, const Rights& outer) {
  if (outer.models != nullptr && !either_within(rule, narrowed, *outer.models)) return false;
  std::vector<std::string> reached;
  for (const Rule& one : outer.rules) {
    if (!allows(outer, one, permission)) continue;
    if (one.models.empty()) return true;
    reached.insert(reached.end(), one.models.begin(), one.models.end());
  }
  return !reached.empty() && either_within(rule, narrowed, reached);
}

}  // namespace

Rights rights_of(const Identity& identity) {
  return {*identity.rules, identity.scopes, identity.models.get()};
}

bool patterns_within(const std::vector<std::string>& inner, const std::vector<std::string>& outer) {
  return std::ranges::all_of(inner, [&](const std::string& one) {
    return std::ranges::any_of(outer, [&](const std::string& other) { return pattern_within(one, other); });
  });
}

bool rights_within(const Rights& inner, const Rights& outer) {
  return std::ranges::all_of(inner.rules, [&](const Rule& rule) {
    return std::ranges::all_of(permissions(), [&](const PermissionDescription& row) {
      if (row.permission <= Permission::kAuthenticated || !allows(inner, rule, row.permission)) return true;
      return granted(rule, inner.models, row.permission, outer);
    });
  });
}

}  // namespace llm::access
