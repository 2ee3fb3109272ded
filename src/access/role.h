#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "access/caps.h"
#include "access/identity.h"
#include "json/fields.h"

namespace llm::access {

// A named list of rules. Built in: admin (everything), operator (models, engines, metrics, usage; runs models), user
// (runs and lists models), viewer (sees models, engines, metrics and usage; runs nothing). Custom ones are in the
// store.
struct Role {
  std::string name;
  std::string description = {};
  std::shared_ptr<const std::vector<Rule>> rules;
  std::shared_ptr<const Caps> caps = {};  // null: the default
  bool built_in = false;
};
std::span<const Role> built_in_roles();

// A rule as it is written: {"permissions": ["generate"], "models": ["llama3*"]}.
struct RuleDocument {
  std::vector<std::string> permissions;
  std::vector<std::string> models;
};

// The JSON of a role in the store, the API and the configuration:
// {"rules": [{"permissions": ["generate"], "models": ["llama3*"]}], "caps": {…}}. Errors with JSON Pointers.
Result<Role> role_from_json(std::string name, const json::value& document);
json::object role_to_json(const Role& role);

}  // namespace llm::access

template <>
struct llm::json::Fields<llm::access::RuleDocument> {
  static const Table<access::RuleDocument>& table();
};
