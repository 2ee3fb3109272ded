#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "access/directory.h"
#include "access/stored_settings.h"
#include "store/directory_tables.h"

namespace llm::access {

// Immutable values that many share: equal text, one object. It goes when the last holder goes.
template <class T>
class Interner {
 public:
  template <class Make>
  std::shared_ptr<const T> get(const std::string& text, Make make) {
    std::weak_ptr<const T>& known = values_[text];
    if (auto value = known.lock()) return value;
    std::shared_ptr<const T> value = make();
    known = value;
    if (values_.size() > prune_at_) prune();
    return value;
  }

 private:
  void prune() {
    std::erase_if(values_, [](const auto& one) { return one.second.expired(); });
    prune_at_ = 2 * values_.size() + 64;
  }
  std::unordered_map<std::string, std::weak_ptr<const T>> values_;
  std::size_t prune_at_ = 64;
};

using ProjectMap = std::map<std::string, std::shared_ptr<const Project>, std::less<>>;
using RoleMap = std::map<std::string, std::shared_ptr<const Role>, std::less<>>;

// What is behind a key beside its own row.
struct KeySurroundings {
  const ProjectMap& projects;
  const RoleMap& roles;
  const std::set<std::string, std::less<>>& disabled_users;
};

// Makes entries from rows; what keys have in common is made once. One thread at a time.
class KeyBuilder {
 public:
  // A key whose settings cannot be read is not `readable` and inactive.
  std::shared_ptr<const KeyEntry> from_row(const store::KeyRow& row, const KeySurroundings& around);
  // The same key, after something around it has changed.
  std::shared_ptr<const KeyEntry> again(const KeyEntry& old, const KeySurroundings& around) const;
  // Settings that were read for this refresh; what keys hold of them stays shared.
  void forget_texts() { by_text_.clear(); }

 private:
  struct Parts {
    bool readable = true;
    PermissionSet scopes = PermissionSet::all();
    std::shared_ptr<const std::vector<std::string>> models;
    std::shared_ptr<const std::vector<IpNetwork>> addresses;
    std::shared_ptr<const LimitPolicy> limits;
    Priority priority = Priority::kInteractive;
    double weight = 1;
  };
  const Parts& parts_of(const std::string& settings);
  Result<Parts> read_parts(const std::string& settings);

  std::unordered_map<std::string, Parts> by_text_;
  Interner<std::vector<std::string>> models_;
  Interner<std::vector<IpNetwork>> addresses_;
  Interner<LimitPolicy> limits_;
};

Result<std::shared_ptr<const Project>> project_from_row(const store::ProjectRow& row);
// As it stands in the store: role_to_json() as text.
Result<std::shared_ptr<const Role>> role_from_row(const store::RoleRow& row);

// Does a key with this identity do everything? One narrowed to models does not.
bool does_everything(const Identity& identity);

}  // namespace llm::access
