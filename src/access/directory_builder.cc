#include "access/directory_builder.h"

#include <algorithm>
#include <fmt/format.h>

namespace llm::access {
namespace {

KeyHash hash_of(const std::string& bytes) {
  KeyHash out{};
  if (bytes.size() == out.size()) std::ranges::copy(bytes, reinterpret_cast<char*>(out.data()));
  return out;
}

// Everything that does not come from the key's own row.
void surround(KeyEntry& entry, const std::string& project, const KeySurroundings& around) {
  // A role or project that cannot be found, or not be read, takes its keys out of use.
  static const auto kNothing = std::make_shared<const std::vector<Rule>>();
  static const auto kNowhere = [] {
    Project nowhere;
    nowhere.id.clear();
    nowhere.disabled = true;
    return std::make_shared<const Project>(std::move(nowhere));
  }();
  Identity& identity = entry.identity;
  const auto role = around.roles.find(identity.role);
  const bool has_role = role != around.roles.end();
  identity.rules = has_role ? role->second->rules : kNothing;
  identity.caps = has_role ? role->second->caps : nullptr;
  const auto found = around.projects.find(project);
  if (found != around.projects.end()) {
    identity.project = found->second;
  } else if (identity.project == nullptr) {
    identity.project = kNowhere;
  }
  entry.active = entry.readable && !entry.revoked && has_role && found != around.projects.end() &&
                 !identity.project->disabled &&
                 (identity.user.empty() || !around.disabled_users.contains(identity.user));
}

std::string joined(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) out.append(item).push_back('\n');
  return out;
}

}  // namespace

Result<KeyBuilder::Parts> KeyBuilder::read_parts(const std::string& settings) {
  auto read = read_key_settings(settings);
  if (!read) return fail(std::move(read.error()));
  Parts parts;
  if (read->scopes) {
    parts.scopes = PermissionSet();
    for (const std::string& name : *read->scopes) {
      if (const auto permission = permission_by_name(name)) parts.scopes.add(*permission);
    }
  }
  if (read->models) {
    parts.models = models_.get(joined(*read->models), [&] {
      return std::make_shared<const std::vector<std::string>>(std::move(*read->models));
    });
  }
  if (read->addresses) {
    std::vector<IpNetwork> networks;
    for (const std::string& text : *read->addresses) {
      const auto network = parse_network(text);
      if (!network) return fail(ErrorCode::kMalformed, "a network that cannot be read", "/addresses");
      networks.push_back(*network);
    }
    parts.addresses = addresses_.get(
        joined(*read->addresses), [&] { return std::make_shared<const std::vector<IpNetwork>>(std::move(networks)); });
  }
  if (read->limits) {
    parts.limits = limits_.get(json::write(json::encode(*read->limits)),
                               [&] { return std::make_shared<const LimitPolicy>(std::move(*read->limits)); });
  }
  parts.priority = read->priority.value_or(Priority::kInteractive);
  parts.weight = read->weight.value_or(1);
  return parts;
}

const KeyBuilder::Parts& KeyBuilder::parts_of(const std::string& settings) {
  const auto known = by_text_.find(settings);
  if (known != by_text_.end()) return known->second;
  auto parts = read_parts(settings);
  if (!parts) {
    Parts nothing;
    nothing.readable = false;
    nothing.scopes = PermissionSet();
    parts = std::move(nothing);
  }
  return by_text_.emplace(settings, std::move(*parts)).first->second;
}

std::shared_ptr<const KeyEntry> KeyBuilder::from_row(const store::KeyRow& row, const KeySurroundings& around) {
  const Parts& parts = parts_of(row.settings);
  const auto entry = std::make_shared<KeyEntry>();
  entry->hash = hash_of(row.hash);
  if (row.old_hash.size() == entry->hash.size()) {
    entry->old = std::make_shared<const OldSecret>(OldSecret{hash_of(row.old_hash), row.old_until});
  }
  entry->expires = row.expires;
  entry->readable = parts.readable && row.hash.size() == entry->hash.size();
  entry->revoked = row.revoked != 0;
  entry->addresses = parts.addresses;
  entry->last_used.store(row.last_used, std::memory_order_relaxed);
  entry->last_used_saved.store(row.last_used, std::memory_order_relaxed);
  Identity& identity = entry->identity;
  identity.kind = Identity::Kind::kKey;
  identity.id.reserve(4 + row.id.size());
  identity.id.append("key:").append(row.id);
  identity.key_id = row.id;
  identity.user = row.user;
  identity.name = row.name;
  identity.role = row.role;
  identity.scopes = parts.scopes;
  identity.models = parts.models;
  identity.limits = parts.limits;
  identity.priority = parts.priority;
  identity.weight = parts.weight;
  surround(*entry, row.project, around);
  return entry;
}

std::shared_ptr<const KeyEntry> KeyBuilder::again(const KeyEntry& old, const KeySurroundings& around) const {
  const auto entry = std::make_shared<KeyEntry>();
  entry->hash = old.hash;
  entry->old = old.old;
  entry->expires = old.expires;
  entry->revoked = old.revoked;
  entry->readable = old.readable;
  entry->addresses = old.addresses;
  entry->last_used.store(old.last_used.load(std::memory_order_relaxed), std::memory_order_relaxed);
  entry->last_used_saved.store(old.last_used_saved.load(std::memory_order_relaxed), std::memory_order_relaxed);
  entry->identity = old.identity;
  surround(*entry, old.identity.project->id, around);
  return entry;
}

Result<std::shared_ptr<const Project>> project_from_row(const store::ProjectRow& row) {
  auto settings = read_project_settings(row.settings);
  if (!settings) return fail(std::move(settings.error()));
  Project project;
  project.id = row.id;
  project.name = row.name;
  project.weight = settings->weight.value_or(1);
  if (settings->limits) project.limits = *settings->limits;
  project.audit_prompts = settings->audit_prompts.value_or(false);
  project.locality = settings->locality.value_or(ProjectLocality::kAny);
  project.disabled = row.disabled != 0;
  return std::make_shared<const Project>(std::move(project));
}

Result<std::shared_ptr<const Role>> role_from_row(const store::RoleRow& row) {
  const auto document = json::parse(row.rules);
  if (!document) return fail(document.error());
  auto role = role_from_json(row.name, *document);
  if (!role) return fail(std::move(role.error()));
  return std::make_shared<const Role>(std::move(*role));
}

bool does_everything(const Identity& identity) {
  return identity.models == nullptr && identity.may(Permission::kAdmin);
}

}  // namespace llm::access
