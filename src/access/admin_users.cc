#include <algorithm>

#include "access/admin.h"
#include "access/admin_support.h"
#include "access/delegation.h"
#include "access/timestamp.h"
#include "base/random.h"

// AccessAdmin: users and service accounts.
namespace llm::access {
namespace {

using store::Session;
using store::UserRow;

std::unexpected<Error> no_such_user() {
  return fail(ErrorCode::kNotFound, "there is no such user");
}

json::object described(const UserRow& row) {
  UserAnswer answer;
  answer.id = row.id;
  answer.name = row.name;
  answer.kind = row.kind;
  answer.role = row.role;
  answer.project = row.project;
  answer.created = format_time(row.created);
  answer.disabled = time_or_nothing(row.disabled);
  return json::encode(answer);
}

bool good_id(std::string_view id) {
  const auto letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  constexpr std::string_view kMore = "._@-";
  return letter_or_digit(id.front()) &&
         std::ranges::all_of(id, [&](char c) { return letter_or_digit(c) || kMore.contains(c); });
}

Result<void> may_hand_out(Session& session, const std::string& role_name, const Delegation& giver) {
  auto role = find_role_named(session, role_name);
  if (!role) return fail(std::move(role.error()));
  Grant grant{role->rules, role->caps, {}, 0};
  return giver.bind_rights(grant);
}

}  // namespace

Result<json::object> AccessAdmin::create_user(json::object document, const Principal& actor) {
  const auto request = json::decode<CreateUserRequest>(document);
  if (!request) return fail(request.error());
  if (auto named = check_name(request->name, "/name"); !named) return fail(std::move(named.error()));
  if (request->id && !good_id(*request->id)) {
    return fail(ErrorCode::kInvalidArgument, "expected letters, digits and \"._@-\", beginning with a letter or digit",
                "/id");
  }
  const std::string id = request->id.value_or(random_id("user-"));
  return change("user.create", id, actor, [&](Session& session) -> Result<Change> {
    const auto giver = Delegation::of(session, actor);
    if (!giver) return fail(giver.error());
    UserRow row{.id = id,
                .project = request->project.value_or(giver->everywhere() ? "default" : giver->project()),
                .name = request->name,
                .kind = std::string(json::enum_name(request->kind)),
                .role = request->role,
                .created = now_ms_()};
    if (!giver->sees(row.project)) {
      return fail(ErrorCode::kPermissionDenied, "users of other projects are made by an admin", "/project");
    }
    if (auto may = may_hand_out(session, row.role, *giver); !may) return fail(std::move(may.error()));
    if (auto inserted = store::insert(session, row); !inserted) return fail(std::move(inserted.error()));
    return Change{row.id, row.project, {}, described(row)};
  });
}

Result<json::object> AccessAdmin::list_users(json::object document, const Principal& actor) {
  const auto query = json::decode<ListUsersQuery>(document);
  if (!query) return fail(query.error());
  auto rows = database_.read([](Session& session) { return store::load_directory(session); });
  if (!rows) return fail(std::move(rows.error()));
  const bool everywhere = actor.may(Permission::kAdmin);
  std::ranges::sort(rows->users, {}, &UserRow::id);
  json::array users;
  for (const UserRow& row : rows->users) {
    if (!everywhere && row.project != actor.project()) continue;
    if (!query->project || row.project == *query->project) users.push_back(described(row));
  }
  return json::object{{"users", std::move(users)}};
}

Result<json::object> AccessAdmin::show_user(std::string id, const Principal& actor) {
  auto row = database_.read([&](Session& session) { return store::find_user(session, id); });
  if (!row) return fail(std::move(row.error()));
  const bool seen = *row && (actor.may(Permission::kAdmin) || (*row)->project == actor.project());
  if (!seen) return no_such_user();
  return described(**row);
}

Result<json::object> AccessAdmin::change_user(std::string action, std::string id, json::object document,
                                              const Principal& actor) {
  const auto request = json::decode<UpdateUserRequest>(document);
  if (!request) return fail(request.error());
  if (request->name) {
    if (auto named = check_name(*request->name, "/name"); !named) return fail(std::move(named.error()));
  }
  return change(std::move(action), id, actor, [&](Session& session) -> Result<Change> {
    const auto giver = Delegation::of(session, actor);
    if (!giver) return fail(giver.error());
    auto found = store::find_user(session, id);
    if (!found) return fail(std::move(found.error()));
    if (!*found || !giver->sees((*found)->project)) return no_such_user();
    UserRow& user = **found;
    const json::object before = described(user);
    // Who is stronger than oneself is left alone: their keys would go with them.
    if (auto may = may_hand_out(session, user.role, *giver); !may && giver->bound()) {
      return fail(ErrorCode::kPermissionDenied, "this user may do more than you may yourself; an admin can change it");
    }
    if (request->role) {
      if (auto may = may_hand_out(session, *request->role, *giver); !may) return fail(std::move(may.error()));
      user.role = *request->role;
    }
    if (request->name) user.name = *request->name;
    if (request->kind) user.kind = json::enum_name(*request->kind);
    const bool off = request->disabled.value_or(user.disabled != 0);
    if (off && user.disabled == 0) {
      auto kept = keep_an_admin_key(session, now_ms_(), [&](const store::KeyRow& key) { return key.user == id; });
      if (!kept) return fail(std::move(kept.error()));
      user.disabled = now_ms_();
    } else if (!off) {
      user.disabled = 0;
    }
    if (auto updated = store::update(session, user); !updated) return fail(std::move(updated.error()));
    return Change{user.id, user.project, before, described(user)};
  });
}

Result<json::object> AccessAdmin::update_user(std::string id, json::object changes, const Principal& actor) {
  return change_user("user.update", std::move(id), std::move(changes), actor);
}

Result<json::object> AccessAdmin::disable_user(std::string id, const Principal& actor) {
  return change_user("user.disable", std::move(id), {{"disabled", true}}, actor);
}

}  // namespace llm::access
