#include <fmt/format.h>

#include "access/admin.h"
#include "access/admin_support.h"
#include "access/delegation.h"
#include "access/timestamp.h"

// AccessAdmin: API keys.
namespace llm::access {
namespace {

using store::KeyRow;
using store::Session;

std::unexpected<Error> no_such_key() {
  return fail(ErrorCode::kNotFound, "there is no such key");
}

// What around a key decides its state.
struct KeyState {
  std::int64_t now = 0;
  bool disabled = false;  // its user or project is
};

Result<KeyState> state_of(Session& session, const KeyRow& row, std::int64_t now) {
  const auto project = store::find_project(session, row.project);
  if (!project) return fail(project.error());
  KeyState state{now, !*project || (*project)->disabled != 0};
  if (row.user.empty()) return state;
  const auto user = store::find_user(session, row.user);
  if (!user) return fail(user.error());
  state.disabled |= !*user || (*user)->disabled != 0;
  return state;
}

KeyAnswer answer_of(const KeyRow& row, const KeyState& state, std::int64_t last_used) {
  // Settings that cannot be read must not hide the others, nor keep anybody from revoking this one.
  auto settings = read_key_settings(row.settings);
  const bool readable = settings.has_value();
  if (!readable) settings = KeySettings();
  KeyAnswer answer;
  answer.id = row.id;
  answer.name = row.name;
  answer.state = row.revoked != 0                               ? "revoked"
                 : !readable                                    ? "unreadable"
                 : state.disabled                               ? "disabled"
                 : row.expires != 0 && row.expires <= state.now ? "expired"
                                                                : "active";
  answer.role = row.role;
  answer.project = row.project;
  if (!row.user.empty()) answer.user = row.user;
  answer.scopes = std::move(settings->scopes);
  answer.models = std::move(settings->models);
  answer.addresses = std::move(settings->addresses);
  answer.limits = std::move(settings->limits);
  answer.priority = settings->priority.value_or(Priority::kInteractive);
  answer.weight = settings->weight.value_or(1);
  answer.created = format_time(row.created);
  answer.expires = time_or_nothing(row.expires);
  if (!row.old_hash.empty() && row.old_until > state.now) answer.old_secret_until = format_time(row.old_until);
  answer.revoked = time_or_nothing(row.revoked);
  answer.last_used = time_or_nothing(last_used);
  return answer;
}

Result<json::object> described(Session& session, const KeyRow& row, std::int64_t now, std::int64_t last_used) {
  const auto state = state_of(session, row, now);
  if (!state) return fail(state.error());
  return json::encode(answer_of(row, *state, last_used));
}

Result<void> check_settings(const KeySettings& settings) {
  for (std::size_t i = 0; settings.scopes && i < settings.scopes->size(); ++i) {
    if (!permission_by_name((*settings.scopes)[i])) {
      return fail(ErrorCode::kInvalidArgument, "there is no such permission", fmt::format("/scopes/{}", i));
    }
  }
  for (std::size_t i = 0; settings.models && i < settings.models->size(); ++i) {
    if (auto good = check_name((*settings.models)[i], fmt::format("/models/{}", i)); !good) return good;
  }
  for (std::size_t i = 0; settings.addresses && i < settings.addresses->size(); ++i) {
    if (!parse_network((*settings.addresses)[i])) {
      return fail(ErrorCode::kInvalidArgument,
                  "expected an address or a network without bits behind its prefix, such as \"10.0.0.0/8\"",
                  fmt::format("/addresses/{}", i));
    }
  }
  return {};
}

// An empty list or policy is the way to say "none".
template <class T>
void set(std::optional<T>& to, std::optional<T> from) {
  if (!from) return;
  if (from->empty()) {
    to.reset();
  } else {
    to = std::move(from);
  }
}

template <class Request>
void take_settings(KeySettings& settings, Request& request) {
  set(settings.scopes, std::move(request.scopes));
  set(settings.models, std::move(request.models));
  set(settings.addresses, std::move(request.addresses));
  set(settings.limits, std::move(request.limits));
  if (request.priority) settings.priority = request.priority;
  if (request.weight) settings.weight = request.weight;
}

Result<std::int64_t> expiry_of(const std::optional<std::string>& text, std::int64_t unset, std::int64_t now) {
  if (!text) return unset;
  if (*text == "never") return 0;
  const auto time = parse_expiry(*text, now);
  if (!time) {
    return fail(ErrorCode::kInvalidArgument,
                "expected a time such as \"2026-12-31T00:00:00Z\", or \"90d\", or \"never\"", "/expires");
  }
  if (*time <= now) return fail(ErrorCode::kInvalidArgument, "expected a time in the future", "/expires");
  return *time;
}

std::string text_of(const KeySettings& settings) {
  return json::write(json::encode(settings));
}

Result<Grant> grant_of(Session& session, const std::string& role_name, const KeySettings& settings,
                       std::int64_t expires) {
  auto role = find_role_named(session, role_name);
  if (!role) return fail(std::move(role.error()));
  return Grant{role->rules, role->caps, settings, expires};
}

// What of a grant is new and must be within what the giver has.
struct Touched {
  bool rights = true;
  bool addresses = true;
  bool limits = true;
  bool expiry = true;
  bool order = true;
};

Touched touched_by(const UpdateKeyRequest& changes) {
  return {.rights = changes.role || changes.scopes || changes.models,
          .addresses = changes.addresses.has_value(),
          .limits = changes.limits.has_value(),
          .expiry = changes.expires.has_value(),
          .order = changes.priority || changes.weight};
}

Result<void> bind(const Delegation& giver, const Touched& touched, Grant& grant) {
  Result<void> within;
  if (touched.rights) within = giver.bind_rights(grant);
  if (within && touched.addresses) within = giver.bind_addresses(grant);
  if (within && touched.limits) within = giver.bind_limits(grant);
  if (within && touched.expiry) within = giver.bind_expiry(grant);
  if (within && touched.order) within = giver.bind_order(grant);
  return within;
}

// The key, if the actor may see it.
Result<KeyRow> visible_key(Session& session, const std::string& id, const Delegation& giver) {
  auto row = store::find_key(session, id);
  if (!row) return fail(std::move(row.error()));
  if (!*row || !giver.sees((*row)->project)) return no_such_key();
  return std::move(**row);
}

// The key, if the actor may also change it.
Result<KeyRow> reachable_key(Session& session, const std::string& id, const Delegation& giver) {
  auto row = visible_key(session, id, giver);
  if (!row || !giver.bound()) return row;
  const auto settings = read_key_settings(row->settings);
  auto grant = settings ? grant_of(session, row->role, *settings, row->expires) : Result<Grant>(std::unexpect, Error{});
  if (!grant) return fail(ErrorCode::kPermissionDenied, "only an admin can change this key");
  if (auto reach = giver.check_reach(*grant); !reach) return fail(std::move(reach.error()));
  return row;
}

// Where a new key goes, and the role it has if the request names none.
Result<void> place_key(Session& session, const CreateKeyRequest& request, const Delegation& giver, KeyRow& row) {
  row.project = request.project.value_or(giver.everywhere() ? "default" : giver.project());
  if (!giver.sees(row.project)) {
    return fail(ErrorCode::kPermissionDenied, "keys of other projects are made by an admin", "/project");
  }
  const auto project = store::find_project(session, row.project);
  if (!project) return fail(project.error());
  if (!*project) return fail(ErrorCode::kNotFound, "there is no such project", "/project");
  if ((*project)->disabled != 0) return fail(ErrorCode::kConflict, "the project is disabled", "/project");
  row.role = request.role.value_or("user");
  if (!request.user) return {};
  const auto user = store::find_user(session, *request.user);
  if (!user) return fail(user.error());
  if (!*user || (*user)->project != row.project) {
    return fail(ErrorCode::kNotFound, "there is no such user in this project", "/user");
  }
  if ((*user)->disabled != 0) return fail(ErrorCode::kConflict, "the user is disabled", "/user");
  row.user = *request.user;
  row.role = request.role.value_or((*user)->role);
  return {};
}

}  // namespace

Result<json::object> AccessAdmin::create_key(json::object document, const Principal& actor) {
  auto request = json::decode<CreateKeyRequest>(document);
  if (!request) return fail(std::move(request.error()));
  if (auto named = check_name(request->name, "/name"); !named) return fail(std::move(named.error()));
  const std::int64_t now = now_ms_();
  KeySettings settings;
  take_settings(settings, *request);
  if (auto sound = check_settings(settings); !sound) return fail(std::move(sound.error()));
  const auto expires = expiry_of(request->expires, 0, now);
  if (!expires) return fail(expires.error());
  const NewApiKey made = make_api_key();

  auto created = change("key.create", made.id, actor, [&](Session& session) -> Result<Change> {
    KeyRow row;
    row.id = made.id;
    row.name = request->name;
    row.hash = made.hash;
    row.created = now;
    const auto giver = Delegation::of(session, actor);
    if (!giver) return fail(giver.error());
    if (auto placed = place_key(session, *request, *giver, row); !placed) return fail(std::move(placed.error()));
    auto grant = grant_of(session, row.role, settings, *expires);
    if (!grant) return fail(std::move(grant.error()));
    if (auto within = bind(*giver, Touched(), *grant); !within) return fail(std::move(within.error()));
    row.settings = text_of(grant->settings);
    row.expires = grant->expires;
    if (auto inserted = store::insert(session, row); !inserted) return fail(std::move(inserted.error()));
    auto after = described(session, row, now, 0);
    if (!after) return fail(std::move(after.error()));
    return Change{row.id, row.project, {}, std::move(*after)};
  });
  if (created) (*created)["key"] = made.text;
  return created;
}

Result<json::object> AccessAdmin::list_keys(json::object document, const Principal& actor) {
  const auto query =
      json::decode<ListKeysQuery>(typed_query(std::move(document), json::Fields<ListKeysQuery>::table()));
  if (!query) return fail(query.error());
  const std::int64_t now = now_ms_();
  auto rows = database_.read([&](Session& session) { return store::load_directory(session); });
  if (!rows) return fail(std::move(rows.error()));
  const bool everywhere = actor.may(Permission::kAdmin);
  std::set<std::string, std::less<>> off;  // "p" + id, "u" + id
  for (const auto& project : rows->projects) {
    if (project.disabled != 0) off.insert("p" + project.id);
  }
  for (const auto& user : rows->users) {
    if (user.disabled != 0) off.insert("u" + user.id);
  }
  std::erase_if(rows->keys, [&](const KeyRow& row) {
    return (!everywhere && row.project != actor.project()) || (query->project && row.project != *query->project) ||
           (query->user && row.user != *query->user) || (!query->revoked && row.revoked != 0) || row.id <= query->after;
  });
  std::ranges::sort(rows->keys, {}, &KeyRow::id);
  KeyList list;
  const auto most = static_cast<std::size_t>(query->limit);
  if (rows->keys.size() > most) {
    rows->keys.resize(most);
    list.next = rows->keys.back().id;
  }
  for (const KeyRow& row : rows->keys) {
    const bool disabled = off.contains("p" + row.project) || off.contains("u" + row.user);
    list.keys.push_back(answer_of(row, {now, disabled}, last_used(row.id, row.last_used)));
  }
  return json::encode(list);
}

Result<json::object> AccessAdmin::show_key(std::string id, const Principal& actor) {
  return database_.read([&](Session& session) -> Result<json::object> {
    const auto giver = Delegation::of(session, actor);
    if (!giver) return fail(giver.error());
    const auto row = visible_key(session, id, *giver);
    if (!row) return fail(row.error());
    return described(session, *row, now_ms_(), last_used(row->id, row->last_used));
  });
}

Result<json::object> AccessAdmin::update_key(std::string id, json::object document, const Principal& actor) {
  const auto request = json::decode<UpdateKeyRequest>(document);
  if (!request) return fail(request.error());
  if (request->name) {
    if (auto named = check_name(*request->name, "/name"); !named) return fail(std::move(named.error()));
  }
  const std::int64_t now = now_ms_();
  return change("key.update", id, actor, [&](Session& session) -> Result<Change> {
    UpdateKeyRequest changes = *request;  // the transaction may run again
    const auto giver = Delegation::of(session, actor);
    if (!giver) return fail(giver.error());
    auto row = reachable_key(session, id, *giver);
    if (!row) return fail(std::move(row.error()));
    if (row->revoked != 0) return fail(ErrorCode::kConflict, "the key is revoked; create another one");
    auto before = described(session, *row, now, last_used(row->id, row->last_used));
    if (!before) return fail(std::move(before.error()));
    auto settings = read_key_settings(row->settings);
    if (!settings) {
      return fail(ErrorCode::kConflict, "the key's settings cannot be read, as another version wrote them; revoke it");
    }
    const Touched touched = touched_by(changes);
    if (changes.name) row->name = *changes.name;
    if (changes.role) row->role = *changes.role;
    take_settings(*settings, changes);
    if (auto sound = check_settings(*settings); !sound) return fail(std::move(sound.error()));
    const auto expires = expiry_of(changes.expires, row->expires, now);
    if (!expires) return fail(expires.error());
    auto grant = grant_of(session, row->role, *settings, *expires);
    if (!grant) return fail(std::move(grant.error()));
    if (auto within = bind(*giver, touched, *grant); !within) return fail(std::move(within.error()));
    row->settings = text_of(grant->settings);
    row->expires = grant->expires;
    if (touched.rights || touched.addresses || touched.expiry) {
      const auto rows = store::load_directory(session);
      if (!rows) return fail(rows.error());
      AdminKeys admins(*rows, now);
      auto kept = admins.stay([&](const KeyRow& one) { return one.id == row->id && !admins.usable(*row); });
      if (!kept) return fail(std::move(kept.error()));
    }
    if (auto updated = store::update(session, *row); !updated) return fail(std::move(updated.error()));
    auto after = described(session, *row, now, last_used(row->id, row->last_used));
    if (!after) return fail(std::move(after.error()));
    return Change{row->id, row->project, std::move(*before), std::move(*after)};
  });
}

Result<json::object> AccessAdmin::rotate_key(std::string id, json::object document, const Principal& actor) {
  const auto request = json::decode<RotateKeyRequest>(document);
  if (!request) return fail(request.error());
  const std::int64_t now = now_ms_();
  const NewApiKey made = make_secret_for(id);
  auto rotated = change("key.rotate", id, actor, [&](Session& session) -> Result<Change> {
    const auto giver = Delegation::of(session, actor);
    if (!giver) return fail(giver.error());
    auto row = reachable_key(session, id, *giver);
    if (!row) return fail(std::move(row.error()));
    if (row->revoked != 0) return fail(ErrorCode::kConflict, "the key is revoked; create another one");
    if (row->expires != 0 && row->expires <= now) {
      return fail(ErrorCode::kConflict, "the key has expired; give it a later time to expire first");
    }
    auto before = described(session, *row, now, last_used(row->id, row->last_used));
    if (!before) return fail(std::move(before.error()));
    const bool overlaps = request->overlap.ms > 0;
    row->old_hash = overlaps ? row->hash : std::string();
    row->old_until = overlaps ? now + request->overlap.ms : 0;
    row->hash = made.hash;
    if (auto updated = store::update(session, *row); !updated) return fail(std::move(updated.error()));
    auto after = described(session, *row, now, last_used(row->id, row->last_used));
    if (!after) return fail(std::move(after.error()));
    return Change{row->id, row->project, std::move(*before), std::move(*after)};
  });
  if (rotated) (*rotated)["key"] = made.text;
  return rotated;
}

Result<json::object> AccessAdmin::revoke_key(std::string id, json::object document, const Principal& actor) {
  const auto request =
      json::decode<RevokeKeyRequest>(typed_query(std::move(document), json::Fields<RevokeKeyRequest>::table()));
  if (!request) return fail(request.error());
  const std::int64_t now = now_ms_();
  return change("key.revoke", id, actor, [&](Session& session) -> Result<Change> {
    const auto giver = Delegation::of(session, actor);
    if (!giver) return fail(giver.error());
    auto row = reachable_key(session, id, *giver);
    if (!row) return fail(std::move(row.error()));
    auto before = described(session, *row, now, last_used(row->id, row->last_used));
    if (!before) return fail(std::move(before.error()));
    if (row->revoked == 0) {
      if (!request->force) {
        auto kept = keep_an_admin_key(session, now, [&](const KeyRow& one) { return one.id == row->id; });
        if (!kept) return fail(std::move(kept.error()));
      }
      row->revoked = now;
      row->old_hash.clear();
      row->old_until = 0;
      if (auto updated = store::update(session, *row); !updated) return fail(std::move(updated.error()));
    }
    auto after = described(session, *row, now, last_used(row->id, row->last_used));
    if (!after) return fail(std::move(after.error()));
    return Change{row->id, row->project, std::move(*before), std::move(*after)};
  });
}

}  // namespace llm::access
