#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

// The one table of permissions. Every route and every MCP tool names one of them; roles and scopes are lists of them.
namespace llm::access {

enum class Permission : std::uint8_t {
  kPublic,         // everybody, without a token
  kAuthenticated,  // everybody who is somebody: asking who one is, revoking one's own token
  kGenerate,       // "generate": run models (completions, embeddings, ranking, tokenizing)
  kModelsRead,     // "models:read"
  kModelsWrite,    // "models:write": pull, load, unload
  kEnginesRead,    // "engines:read": engines, their logs, the gateway's status
  kMetricsRead,    // "metrics:read"
  kUsageRead,      // "usage:read": of the own project
  kKeysRead,       // "keys:read": of the own project
  kKeysWrite,      // "keys:write": keys of the own project, with no more rights than one's own
  kAuditRead,      // "audit:read"
  kAdmin,          // "admin": everything, in every project
};
inline constexpr std::size_t kPermissionCount = 12;

struct PermissionDescription {
  Permission permission;
  std::string_view name;  // as in roles, scopes and tokens
  std::string_view description;
};
std::span<const PermissionDescription> permissions();
std::string_view to_string(Permission permission);
std::optional<Permission> permission_by_name(std::string_view name);  // not kPublic, kAuthenticated

// A set of permissions. kPublic and kAuthenticated are in every set; kAdmin brings all others.
class PermissionSet {
 public:
  constexpr PermissionSet() = default;
  constexpr PermissionSet(std::initializer_list<Permission> list) {
    for (const Permission permission : list) add(permission);
  }
  static constexpr PermissionSet all() { return PermissionSet{Permission::kAdmin}; }

  constexpr void add(Permission permission) { bits_ |= bit(permission); }
  constexpr bool has(Permission permission) const {
    return permission <= Permission::kAuthenticated || (bits_ & (bit(permission) | bit(Permission::kAdmin))) != 0;
  }
  // Is it named itself, not only brought by kAdmin?
  constexpr bool lists(Permission permission) const { return (bits_ & bit(permission)) != 0; }
  // What both have: a key's role within the scopes of its token.
  constexpr PermissionSet operator&(PermissionSet other) const {
    if (has(Permission::kAdmin)) return other;
    if (other.has(Permission::kAdmin)) return *this;
    PermissionSet out;
    out.bits_ = bits_ & other.bits_;
    return out;
  }
  constexpr PermissionSet operator|(PermissionSet other) const {
    PermissionSet out;
    out.bits_ = bits_ | other.bits_;
    return out;
  }
  constexpr bool contains(PermissionSet other) const { return has(Permission::kAdmin) || (other.bits_ & ~bits_) == 0; }
  constexpr bool empty() const { return bits_ == 0; }
  friend constexpr bool operator==(PermissionSet, PermissionSet) = default;

 private:
  static constexpr std::uint16_t bit(Permission permission) {
    return static_cast<std::uint16_t>(1U << static_cast<unsigned>(permission));
  }
  std::uint16_t bits_ = 0;
};

// "generate models:read", as in OAuth's `scope`; and back, unknown names ignored (they may belong to other servers).
std::string scope_text(PermissionSet set);
PermissionSet scopes(std::string_view text);

}  // namespace llm::access
