#include "access/directory.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <mutex>

#include "access/directory_builder.h"
#include "store/directory_tables.h"

namespace llm::access {
namespace {

constexpr std::string_view kDefaultProject = "default";
constexpr std::size_t kShards = 256;

std::int64_t or_system_clock(std::int64_t now_ms) {
  if (now_ms != 0) return now_ms;
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
}

struct Slot {
  std::uint64_t hash = 0;
  std::shared_ptr<const KeyEntry> entry;
};

// Slots in the order of their hashes: nothing but 24 bytes for each key.
struct Shard {
  mutable std::mutex mutex;
  std::vector<Slot> slots;

  // The slot of the key, or where it belongs.
  auto place(std::uint64_t hash, std::string_view id) const {
    auto at = std::ranges::lower_bound(slots, hash, {}, &Slot::hash);
    while (at != slots.end() && at->hash == hash && at->entry->identity.key_id != id) ++at;
    return at;
  }
  static bool is(auto at, auto end, std::uint64_t hash) { return at != end && at->hash == hash; }
};

// Ids are random, so that nobody can choose ids that fall together.
std::uint64_t hash_id(std::string_view id) {
  return std::hash<std::string_view>()(id);
}

struct Changed {
  std::set<std::string, std::less<>> projects;
  std::set<std::string, std::less<>> users;
  std::set<std::string, std::less<>> roles;

  bool any() const { return !projects.empty() || !users.empty() || !roles.empty(); }
  bool concerns(const Identity& identity) const {
    return projects.contains(identity.project->id) || users.contains(identity.user) || roles.contains(identity.role);
  }
};

Result<bool> make_default_project(store::Database& database, const store::DirectoryRows& rows) {
  if (std::ranges::find(rows.projects, kDefaultProject, &store::ProjectRow::id) != rows.projects.end()) return false;
  auto made = database.write([](store::Session& session) {
    store::ProjectRow row;
    row.id = kDefaultProject;
    row.name = "Default";
    row.settings = "{}";
    row.created = or_system_clock(0);
    return store::insert(session, row);
  });
  if (!made && made.error().code != ErrorCode::kAlreadyExists) return fail(std::move(made.error()));
  return true;
}

}  // namespace

struct Directory::State {
  std::array<Shard, kShards> shards;

  mutable std::mutex names_mutex;  // of the next three; held to copy a pointer or to swap a map
  ProjectMap projects;
  RoleMap roles;
  std::map<std::string, std::shared_ptr<const KeyEntry>, std::less<>> admin_keys;

  std::atomic<std::int64_t> revision{-1};
  std::atomic<std::size_t> keys{0};
  std::atomic<std::size_t> unreadable{0};

  std::mutex save_mutex;
  std::mutex refresh_mutex;  // of what follows, and of changing slots
  std::set<std::string, std::less<>> disabled_users;
  std::set<std::string, std::less<>> unreadable_names;
  KeyBuilder builder;

  Shard& shard(std::uint64_t hash) { return shards[hash >> 56]; }

  void start_over();
  Changed apply_names(const store::DirectoryRows& rows);
  void load_keys(const store::DirectoryRows& rows);
  void apply_keys(const store::DirectoryRows& rows);
  void rebuild(const Changed& changed);
  void put(std::shared_ptr<const KeyEntry> entry);
  void note(const std::shared_ptr<const KeyEntry>& entry);
  KeySurroundings around() const { return {projects, roles, disabled_users}; }
};

Directory::Directory() : state_(std::make_unique<State>()) {
  state_->start_over();
}

Directory::~Directory() = default;

std::shared_ptr<const KeyEntry> Directory::key(std::string_view id) const {
  const std::uint64_t hash = hash_id(id);
  const Shard& shard = state_->shard(hash);
  const std::scoped_lock lock(shard.mutex);
  const auto at = shard.place(hash, id);
  return Shard::is(at, shard.slots.end(), hash) ? at->entry : nullptr;
}

std::shared_ptr<const Role> Directory::role(std::string_view name) const {
  const std::scoped_lock lock(state_->names_mutex);
  const auto found = state_->roles.find(name);
  return found == state_->roles.end() ? nullptr : found->second;
}

std::shared_ptr<const Project> Directory::project(std::string_view id) const {
  const std::scoped_lock lock(state_->names_mutex);
  const auto found = state_->projects.find(id);
  return found == state_->projects.end() ? nullptr : found->second;
}

std::shared_ptr<const Identity> Directory::identity(std::string_view principal_id, std::int64_t now_ms) const {
  constexpr std::string_view kKey = "key:";
  if (!principal_id.starts_with(kKey)) return nullptr;
  const auto entry = key(principal_id.substr(kKey.size()));
  if (!entry || !entry->usable(or_system_clock(now_ms))) return nullptr;
  return identity_of(entry);
}

bool Directory::has_admin_key(std::int64_t now_ms) const {
  const std::int64_t now = or_system_clock(now_ms);
  const std::scoped_lock lock(state_->names_mutex);
  return std::ranges::any_of(state_->admin_keys, [&](const auto& one) { return one.second->usable(now); });
}

std::size_t Directory::keys() const {
  return state_->keys.load(std::memory_order_relaxed);
}

std::int64_t Directory::revision() const {
  return state_->revision.load(std::memory_order_acquire);
}

std::size_t Directory::unreadable() const {
  return state_->unreadable.load(std::memory_order_relaxed);
}

void Directory::State::note(const std::shared_ptr<const KeyEntry>& entry) {
  if (!entry->readable) {
    unreadable_names.insert(entry->identity.id);
  } else if (!unreadable_names.empty()) {
    unreadable_names.erase(entry->identity.id);
  }
  const bool admin = entry->active && does_everything(entry->identity);
  const std::scoped_lock lock(names_mutex);
  if (admin) {
    admin_keys.insert_or_assign(entry->identity.key_id, entry);
  } else if (!admin_keys.empty()) {
    admin_keys.erase(entry->identity.key_id);
  }
}

void Directory::State::put(std::shared_ptr<const KeyEntry> entry) {
  const std::uint64_t hash = hash_id(entry->identity.key_id);
  Shard& to = shard(hash);
  note(entry);
  const std::scoped_lock lock(to.mutex);
  const auto at = to.place(hash, entry->identity.key_id);
  const auto slot = to.slots.begin() + (at - to.slots.begin());
  if (Shard::is(at, to.slots.end(), hash)) {
    // A request that holds the old entry may still note its use there; such a second is lost.
    const std::int64_t used = slot->entry->last_used.load(std::memory_order_relaxed);
    if (used > entry->last_used.load(std::memory_order_relaxed)) {
      entry->last_used.store(used, std::memory_order_relaxed);
    }
    slot->entry = std::move(entry);
    return;
  }
  to.slots.insert(slot, Slot{hash, std::move(entry)});
  keys.fetch_add(1, std::memory_order_relaxed);
}

// Before everything is loaded, for the first time or because a backup was put back. Keys stay until they are replaced.
void Directory::State::start_over() {
  disabled_users.clear();
  unreadable_names.clear();
  const std::scoped_lock lock(names_mutex);
  projects.clear();
  roles.clear();
  admin_keys.clear();
  for (const Role& role : built_in_roles()) roles.emplace(role.name, std::make_shared<const Role>(role));
  projects.emplace(kDefaultProject, std::make_shared<const Project>());
}

Changed Directory::State::apply_names(const store::DirectoryRows& rows) {
  Changed changed;
  ProjectMap new_projects = projects;
  RoleMap new_roles = roles;
  for (const store::ProjectRow& row : rows.projects) {
    changed.projects.insert(row.id);
    auto project = project_from_row(row);
    const std::string name = "project:" + row.id;
    if (project) {
      unreadable_names.erase(name);
      new_projects.insert_or_assign(row.id, std::move(*project));
      continue;
    }
    // Its limits are not known: nothing of it may run until somebody repairs it.
    unreadable_names.insert(name);
    Project off;
    off.id = row.id;
    off.name = row.name;
    off.disabled = true;
    new_projects.insert_or_assign(row.id, std::make_shared<const Project>(std::move(off)));
  }
  for (const store::RoleRow& row : rows.roles) {
    changed.roles.insert(row.name);
    const std::string name = "role:" + row.name;
    unreadable_names.erase(name);
    auto known = new_roles.find(row.name);
    if (known != new_roles.end() && known->second->built_in) continue;
    auto role = row.created == 0 ? Result<std::shared_ptr<const Role>>(nullptr) : role_from_row(row);
    if (!role) unreadable_names.insert(name);
    if (role && *role) {
      new_roles.insert_or_assign(row.name, std::move(*role));
    } else {
      new_roles.erase(row.name);
    }
  }
  for (const store::UserRow& row : rows.users) {
    const bool was = disabled_users.contains(row.id);
    if (was == (row.disabled != 0)) continue;
    changed.users.insert(row.id);
    if (was) {
      disabled_users.erase(row.id);
    } else {
      disabled_users.insert(row.id);
    }
  }
  const std::scoped_lock lock(names_mutex);
  projects.swap(new_projects);
  roles.swap(new_roles);
  return changed;
}

void Directory::State::load_keys(const store::DirectoryRows& rows) {
  std::array<std::vector<Slot>, kShards> loaded;
  std::array<std::size_t, kShards> counts{};
  for (const store::KeyRow& row : rows.keys) ++counts[hash_id(row.id) >> 56];
  for (std::size_t i = 0; i < kShards; ++i) loaded[i].reserve(counts[i]);
  for (const store::KeyRow& row : rows.keys) {
    const std::uint64_t hash = hash_id(row.id);
    auto entry = builder.from_row(row, around());
    note(entry);
    loaded[hash >> 56].push_back({hash, std::move(entry)});
  }
  for (std::size_t i = 0; i < kShards; ++i) {
    std::ranges::sort(loaded[i], {}, &Slot::hash);
    const std::scoped_lock lock(shards[i].mutex);
    shards[i].slots.swap(loaded[i]);
  }
  keys.store(rows.keys.size(), std::memory_order_relaxed);
}

void Directory::State::apply_keys(const store::DirectoryRows& rows) {
  for (const store::KeyRow& row : rows.keys) put(builder.from_row(row, around()));
}

void Directory::State::rebuild(const Changed& changed) {
  for (Shard& one : shards) {
    // Only who refreshes changes slots: reading them needs no lock here.
    for (Slot& slot : one.slots) {
      if (!changed.concerns(slot.entry->identity)) continue;
      auto entry = builder.again(*slot.entry, around());
      note(entry);
      const std::scoped_lock lock(one.mutex);
      slot.entry.swap(entry);
    }
  }
}

Result<bool> Directory::refresh(store::Database& database) {
  const std::scoped_lock one_at_a_time(state_->refresh_mutex);
  const std::int64_t known = state_->revision.load(std::memory_order_relaxed);
  bool everything = false;
  auto load = [&] {
    return database.read([&](store::Session& session) -> Result<store::DirectoryRows> {
      auto revision = store::directory_revision(session);
      if (!revision) return fail(std::move(revision.error()));
      // An older revision than the known one: somebody put a backup back.
      everything = known < 0 || *revision < known;
      if (everything) return store::load_directory(session);
      if (*revision != known) return store::load_directory_changes(session, known);
      store::DirectoryRows nothing;
      nothing.revision = known;
      return nothing;
    });
  };
  auto rows = load();
  if (!rows) return fail(std::move(rows.error()));
  if (everything) {
    const auto made = make_default_project(database, *rows);
    if (!made) return fail(made.error());
    if (*made) rows = load();
    if (!rows) return fail(std::move(rows.error()));
  }
  if (rows->revision == known) return false;

  if (everything) state_->start_over();
  const Changed changed = state_->apply_names(*rows);
  if (everything) {
    state_->load_keys(*rows);
  } else {
    if (changed.any()) state_->rebuild(changed);
    state_->apply_keys(*rows);
  }
  state_->builder.forget_texts();
  state_->unreadable.store(state_->unreadable_names.size(), std::memory_order_relaxed);
  state_->revision.store(rows->revision, std::memory_order_release);
  return true;
}

Result<void> Directory::save_last_used(store::Database& database) {
  const std::scoped_lock one_at_a_time(state_->save_mutex);
  std::vector<store::KeyUse> uses;
  std::vector<std::shared_ptr<const KeyEntry>> entries;
  {
    const std::scoped_lock lock(state_->refresh_mutex);
    for (const Shard& shard : state_->shards) {
      for (const Slot& slot : shard.slots) {
        const std::int64_t used = slot.entry->last_used.load(std::memory_order_relaxed);
        if (used <= slot.entry->last_used_saved.load(std::memory_order_relaxed)) continue;
        uses.push_back({slot.entry->identity.key_id, used});
        entries.push_back(slot.entry);
      }
    }
  }
  if (uses.empty()) return {};
  // Without the lock: a slow write must not delay a revocation.
  auto saved = database.write([&](store::Session& session) { return store::touch_keys(session, uses); });
  if (!saved) return saved;
  for (std::size_t i = 0; i < uses.size(); ++i) {
    entries[i]->last_used_saved.store(uses[i].at, std::memory_order_relaxed);
  }
  return {};
}

}  // namespace llm::access
