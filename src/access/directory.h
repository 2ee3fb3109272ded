#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "access/api_key.h"
#include "access/identity.h"
#include "access/ip_network.h"
#include "access/role.h"
#include "store/database.h"

namespace llm::access {

// After a rotation: the secret before it, which works for a while.
struct OldSecret {
  KeyHash hash{};
  std::int64_t until = 0;  // milliseconds since 1970
};

// One API key, as requests need it. Immutable but for the times of its last use.
struct KeyEntry {
  KeyHash hash{};
  std::shared_ptr<const OldSecret> old = {};  // null: there is none
  std::int64_t expires = 0;                   // milliseconds since 1970; 0: never
  bool revoked = false;
  bool readable = true;  // its row could be understood
  bool active = true;    // readable, not revoked, not of a disabled user or project, its role is there
  std::shared_ptr<const std::vector<IpNetwork>> addresses = {};  // from where it may be used; null: from anywhere
  Identity identity;                                             // within the entry: 100,000 allocations less
  mutable std::atomic<std::int64_t> last_used{0};
  mutable std::atomic<std::int64_t> last_used_saved{0};

  bool usable(std::int64_t now_ms) const { return active && (expires == 0 || now_ms < expires); }
};
// The entry's identity, which keeps the entry alive.
inline std::shared_ptr<const Identity> identity_of(const std::shared_ptr<const KeyEntry>& entry) {
  return {entry, &entry->identity};
}

// All projects, users, roles and keys as the requests' path sees them: in memory, never dependent on the database being
// up. Entries are immutable and replaced one by one; a reader holds the lock of one of 256 shards for as long as it
// takes to copy a pointer. 100,000 keys load within a second and take at most 60 MiB: what keys have in common is
// shared.
class Directory {
 public:
  Directory();
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  // Any thread. Null: no such key.
  std::shared_ptr<const KeyEntry> key(std::string_view id) const;
  std::shared_ptr<const Role> role(std::string_view name) const;      // built in or custom; null
  std::shared_ptr<const Project> project(std::string_view id) const;  // null; "default" always exists
  // Of a Principal::id ("key:…"), for work that outlives its request, such as MCP tasks: null if it may no longer do
  // anything, or cannot be known ("token:…").
  // `now_ms` 0: by the system's clock.
  std::shared_ptr<const Identity> identity(std::string_view principal_id, std::int64_t now_ms = 0) const;
  bool has_admin_key(std::int64_t now_ms = 0) const;  // a usable key that may do everything
  std::size_t keys() const;
  std::int64_t revision() const;  // of the rows that are loaded; changes after all that it stands for
  std::size_t unreadable()
      const;  // rows with settings that this program cannot read: such a key, role or project is off

  // Reads what changed since the last time; the first time, everything, and makes the project "default" if there is
  // none. Blocks; any thread, one after the other. After an error the old state stays.
  Result<bool> refresh(store::Database& database);  // true: something changed
  // Writes when keys were last used, where that is newer than what was written. Blocks.
  Result<void> save_last_used(store::Database& database);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace llm::access
