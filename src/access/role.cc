#include "access/role.h"

#include <algorithm>
#include <fmt/format.h>

#include "json/fields.h"

namespace llm {
namespace access {

// As a role stands in the store.
struct RoleDocument {
  std::string description;
  std::vector<RuleDocument> rules;
  std::optional<Caps> caps;
};

}  // namespace access

using json::field;

const json::Table<access::RuleDocument>& json::Fields<access::RuleDocument>::table() {
  using R = access::RuleDocument;
  static const Table<R> table{
      "rule",
      {
          field("permissions", &R::permissions,
                {.description = "What may be done: names of permissions.",
                 .required = true,
                 .min_items = 1,
                 .max_items = access::kPermissionCount}),
          field("models", &R::models,
                {.description = "On which models: names or patterns with '*'; without any, on all.",
                 .min_length = 1,
                 .max_length = 256,
                 .max_items = 256}),
      }};
  return table;
}

template <>
struct json::Fields<access::RoleDocument> {
  static const Table<access::RoleDocument>& table() {
    using R = access::RoleDocument;
    static const Table<R> table{
        "role",
        {
            field("description", &R::description, {.description = "For people.", .max_length = 512}),
            field("rules", &R::rules,
                  {.description = "What the role may do.", .required = true, .min_items = 1, .max_items = 64}),
            field("caps", &R::caps, {.description = "Caps of its own on what one request may ask for."}),
        }};
    return table;
  }
};

namespace access {
namespace {

using P = Permission;

Role built_in(std::string name, std::string description, PermissionSet permissions) {
  Role role;
  role.name = std::move(name);
  role.description = std::move(description);
  role.rules = std::make_shared<const std::vector<Rule>>(std::vector<Rule>{{permissions, {}}});
  role.built_in = true;
  return role;
}

std::string known_names() {
  std::string out;
  for (const auto& row : permissions()) {
    if (!permission_by_name(row.name)) continue;
    if (!out.empty()) out += ", ";
    out += row.name;
  }
  return out;
}

Result<Rule> rule_of(RuleDocument document, std::size_t index) {
  Rule rule;
  for (std::size_t i = 0; i < document.permissions.size(); ++i) {
    const auto permission = permission_by_name(document.permissions[i]);
    if (!permission) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("there is no such permission; the permissions are {}", known_names()),
                  fmt::format("/rules/{}/permissions/{}", index, i));
    }
    rule.permissions.add(*permission);
  }
  if (rule.permissions.lists(P::kAdmin) && !document.models.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "\"admin\" is everything and cannot be restricted to models; list the permissions that are meant",
                fmt::format("/rules/{}/models", index));
  }
  rule.models = std::move(document.models);
  return rule;
}

}  // namespace

std::span<const Role> built_in_roles() {
  static const std::array<Role, 4> roles{
      built_in("admin", "everything, in every project", PermissionSet::all()),
      built_in("operator", "runs the gateway: models, engines, metrics, usage",
               {P::kGenerate, P::kModelsRead, P::kModelsWrite, P::kEnginesRead, P::kMetricsRead, P::kUsageRead}),
      built_in("user", "runs models", {P::kGenerate, P::kModelsRead}),
      built_in("viewer", "sees models, engines, metrics and usage; runs nothing",
               {P::kModelsRead, P::kEnginesRead, P::kMetricsRead, P::kUsageRead}),
  };
  return roles;
}

Result<Role> role_from_json(std::string name, const json::value& document) {
  auto read = json::decode<RoleDocument>(document);
  if (!read) return fail(std::move(read.error()));
  std::vector<Rule> rules;
  for (std::size_t i = 0; i < read->rules.size(); ++i) {
    auto rule = rule_of(std::move(read->rules[i]), i);
    if (!rule) return fail(std::move(rule.error()));
    rules.push_back(std::move(*rule));
  }
  Role role;
  role.name = std::move(name);
  role.description = std::move(read->description);
  role.rules = std::make_shared<const std::vector<Rule>>(std::move(rules));
  if (read->caps) role.caps = std::make_shared<const Caps>(*read->caps);
  return role;
}

json::object role_to_json(const Role& role) {
  RoleDocument document;
  document.description = role.description;
  for (const Rule& rule : *role.rules) {
    RuleDocument& out = document.rules.emplace_back();
    for (const auto& row : permissions()) {
      if (rule.permissions.lists(row.permission)) out.permissions.emplace_back(row.name);
    }
    out.models = rule.models;
  }
  if (role.caps) document.caps = *role.caps;
  return json::encode(document);
}

}  // namespace access
}  // namespace llm
