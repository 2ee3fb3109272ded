#include <algorithm>

#include "access/admin.h"
#include "access/admin_support.h"

// AccessAdmin: roles.
namespace llm::access {
namespace {

using store::RoleRow;
using store::Session;

std::unexpected<Error> no_such_role() {
  return fail(ErrorCode::kNotFound, "there is no such role");
}

bool is_built_in(std::string_view name) {
  return std::ranges::any_of(built_in_roles(), [&](const Role& role) { return role.name == name; });
}

json::object described(const Role& role) {
  json::object answer{{"name", role.name}};
  for (const auto& member : role_to_json(role)) answer.insert(member);
  answer["built_in"] = role.built_in;
  return answer;
}

// What the store keeps: everything but the name.
Result<Role> role_of(const std::string& name, json::object document) {
  document.erase("name");
  return role_from_json(name, document);
}

// Roles belong to no project: whoever changes one changes what keys everywhere may do.
Result<void> check_admin(const Principal& actor) {
  if (actor.local() || does_everything(*actor.identity)) return {};
  return fail(ErrorCode::kPermissionDenied, "roles are managed by an admin");
}

// Keys of the role that do everything, and would no longer.
Result<void> check_admins_stay(Session& session, const std::string& name, const Role& changed, std::int64_t now) {
  const bool admin =
      std::ranges::any_of(*changed.rules, [](const Rule& rule) { return rule.permissions.has(Permission::kAdmin); });
  if (admin) return {};
  return keep_an_admin_key(session, now, [&](const store::KeyRow& key) { return key.role == name; });
}

}  // namespace

Result<json::object> AccessAdmin::create_role(json::object document, const Principal& actor) {
  const auto request = json::decode<CreateRoleRequest>(document);
  if (!request) return fail(request.error());
  if (!is_small_name(request->name, "-_")) {
    return fail(ErrorCode::kInvalidArgument,
                "expected small letters, digits, '-' and '_', beginning with a letter or digit", "/name");
  }
  if (auto sound = check_name(request->description, "/description"); !sound) return fail(std::move(sound.error()));
  auto role = role_of(request->name, document);
  if (!role) return fail(std::move(role.error()));
  return change("role.create", request->name, actor, [&](Session& session) -> Result<Change> {
    if (auto may = check_admin(actor); !may) return fail(std::move(may.error()));
    const RoleRow row{.name = role->name, .rules = json::write(role_to_json(*role)), .created = now_ms_()};
    if (auto inserted = store::insert(session, row); !inserted) return fail(std::move(inserted.error()).at("/name"));
    return Change{role->name, {}, {}, described(*role)};
  });
}

Result<json::object> AccessAdmin::list_roles(const Principal&) {
  auto rows = database_.read([](Session& session) { return store::load_directory(session); });
  if (!rows) return fail(std::move(rows.error()));
  std::ranges::sort(rows->roles, {}, &RoleRow::name);
  json::array roles;
  for (const Role& role : built_in_roles()) roles.push_back(described(role));
  for (const RoleRow& row : rows->roles) {
    auto role = role_from_row(row);
    if (role) roles.push_back(described(**role));
  }
  return json::object{{"roles", std::move(roles)}};
}

Result<json::object> AccessAdmin::show_role(std::string name, const Principal&) {
  auto role = database_.read([&](Session& session) { return find_role_named(session, name); });
  if (!role && role.error().code == ErrorCode::kNotFound) return no_such_role();
  if (!role) return fail(std::move(role.error()));
  return described(*role);
}

Result<json::object> AccessAdmin::update_role(std::string name, json::object document, const Principal& actor) {
  const auto request = json::decode<UpdateRoleRequest>(document);
  if (!request) return fail(request.error());
  if (request->description) {
    if (auto sound = check_name(*request->description, "/description"); !sound) return fail(std::move(sound.error()));
  }
  return change("role.update", name, actor, [&](Session& session) -> Result<Change> {
    if (auto may = check_admin(actor); !may) return fail(std::move(may.error()));
    if (is_built_in(name)) return fail(ErrorCode::kConflict, "built-in roles cannot be changed; create another one");
    auto row = store::find_role(session, name);
    if (!row) return fail(std::move(row.error()));
    if (!*row || (*row)->created == 0) return no_such_role();
    const auto old = role_from_row(**row);
    json::object whole = old ? role_to_json(**old) : json::object();
    for (const auto& member : document) {
      if (!member.value().is_null()) whole[member.key()] = member.value();
    }
    auto role = role_of(name, std::move(whole));
    if (!role) return fail(std::move(role.error()));
    if (auto kept = check_admins_stay(session, name, *role, now_ms_()); !kept) return fail(std::move(kept.error()));
    (*row)->rules = json::write(role_to_json(*role));
    if (auto updated = store::update(session, **row); !updated) return fail(std::move(updated.error()));
    return Change{name, {}, old ? described(**old) : json::object(), described(*role)};
  });
}

Result<json::object> AccessAdmin::remove_role(std::string name, const Principal& actor) {
  return change("role.remove", name, actor, [&](Session& session) -> Result<Change> {
    if (auto may = check_admin(actor); !may) return fail(std::move(may.error()));
    if (is_built_in(name)) return fail(ErrorCode::kConflict, "built-in roles cannot be removed");
    const auto role = find_role_named(session, name);
    if (!role && role.error().code == ErrorCode::kNotFound) return no_such_role();
    if (auto removed = store::remove_role(session, name); !removed) return fail(std::move(removed.error()));
    return Change{name, {}, role ? described(*role) : json::object(), {{"name", name}, {"removed", true}}};
  });
}

}  // namespace llm::access
