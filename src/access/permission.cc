#include "access/permission.h"

#include <algorithm>

#include "base/strings.h"

namespace llm::access {
namespace {

constexpr std::array<PermissionDescription, kPermissionCount> kPermissions{{
    {Permission::kPublic, "public", "what everybody may do, without a token"},
    {Permission::kAuthenticated, "authenticated", "what everybody may do who is somebody"},
    {Permission::kGenerate, "generate", "run models: completions, embeddings, ranking, tokenizing"},
    {Permission::kModelsRead, "models:read", "list and describe models"},
    {Permission::kModelsWrite, "models:write", "pull, copy, remove, load and unload models"},
    {Permission::kEnginesRead, "engines:read", "see engines, their logs and the gateway's status"},
    {Permission::kMetricsRead, "metrics:read", "read metrics"},
    {Permission::kUsageRead, "usage:read", "read the usage of one's own project"},
    {Permission::kKeysRead, "keys:read", "list the API keys of one's own project"},
    {Permission::kKeysWrite, "keys:write", "create, change, rotate and revoke API keys of one's own project"},
    {Permission::kAuditRead, "audit:read", "read the audit trail of one's own project"},
    {Permission::kAdmin, "admin", "everything, in every project"},
}};

// The table is indexed by the enum; a row in the wrong place would hand out the wrong right.
consteval bool in_order() {
  for (std::size_t i = 0; i < kPermissions.size(); ++i) {
    if (static_cast<std::size_t>(kPermissions[i].permission) != i) return false;
  }
  return true;
}
static_assert(in_order());

bool grantable(Permission permission) {
  return permission > Permission::kAuthenticated;
}

}  // namespace

std::span<const PermissionDescription> permissions() {
  return kPermissions;
}

std::string_view to_string(Permission permission) {
  return kPermissions[static_cast<std::size_t>(permission)].name;
}

std::optional<Permission> permission_by_name(std::string_view name) {
  const auto row = std::ranges::find(kPermissions, name, &PermissionDescription::name);
  if (row == kPermissions.end() || !grantable(row->permission)) return std::nullopt;
  return row->permission;
}

std::string scope_text(PermissionSet set) {
  std::string out;
  for (const auto& row : kPermissions) {
    if (!grantable(row.permission) || !set.lists(row.permission)) continue;
    if (!out.empty()) out += ' ';
    out += row.name;
  }
  return out;
}

PermissionSet scopes(std::string_view text) {
  PermissionSet set;
  for (const std::string_view name : split(text, ' ')) {
    if (const auto permission = permission_by_name(name)) set.add(*permission);
  }
  return set;
}

}  // namespace llm::access
