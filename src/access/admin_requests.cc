#include "access/admin_requests.h"

#include "access/stored_settings.h"
#include "base/strings.h"

namespace llm {

using namespace access;  // the tables of one folder's types
using json::field;
using json::FieldOptions;

namespace {

using access::bounds::kLeastWeight;
using access::bounds::kListItems;
using access::bounds::kMostWeight;
using access::bounds::kNameLength;
using access::bounds::kPatternLength;

constexpr double kDay = 86'400'000;

// Options that several requests share.
constexpr FieldOptions name_of(std::string_view description, bool required = false) {
  return {.description = description, .required = required, .min_length = 1, .max_length = kNameLength};
}
constexpr FieldOptions weight_of(std::string_view description) {
  return {.description = description, .minimum = kLeastWeight, .maximum = kMostWeight};
}
constexpr FieldOptions patterns(std::string_view description) {
  return {.description = description, .min_length = 1, .max_length = kPatternLength, .max_items = kListItems};
}
constexpr FieldOptions text(std::string_view description) {
  return {.description = description, .max_length = kPatternLength};
}

constexpr std::string_view kRole = "The role: a built-in one or one of /api/v1/roles.";
constexpr std::string_view kScopes = "Permissions that narrow the role; an empty list: all of the role's.";
constexpr std::string_view kModels =
    "Models or patterns with '*' that narrow the role; an empty list: all of the role's.";
constexpr std::string_view kAddresses = "Addresses or networks from which the key may be used; an empty list: any.";
constexpr std::string_view kExpires = "When it ends: a time, a date, or how long from now (\"90d\"); \"never\".";
constexpr std::string_view kKeyLimits = "Limits of the key itself; what is absent follows the configuration.";
constexpr std::string_view kPriority = "Who goes first when engines are busy.";
constexpr std::string_view kKeyWeight = "Its share within its project, relative to other keys.";
constexpr std::string_view kProjectWeight = "Its share of busy engines, relative to other projects.";
constexpr std::string_view kLocality =
    "Where its requests may be answered: any, or local_only: no provider on another machine gets them.";

}  // namespace

const json::Table<CreateKeyRequest>& json::Fields<CreateKeyRequest>::table() {
  using R = CreateKeyRequest;
  static const Table<R> table{"key request",
                              {
                                  field("name", &R::name, name_of("What it is for; for people.", true)),
                                  field("role", &R::role, name_of(kRole)),
                                  field("project", &R::project, name_of("The project that it belongs to.")),
                                  field("user", &R::user, name_of("The user or service account that it belongs to.")),
                                  field("scopes", &R::scopes, patterns(kScopes)),
                                  field("models", &R::models, patterns(kModels)),
                                  field("addresses", &R::addresses, patterns(kAddresses)),
                                  field("expires", &R::expires, name_of(kExpires)),
                                  field("limits", &R::limits, {.description = kKeyLimits}),
                                  field("priority", &R::priority, {.description = kPriority}),
                                  field("weight", &R::weight, weight_of(kKeyWeight)),
                              }};
  return table;
}

const json::Table<UpdateKeyRequest>& json::Fields<UpdateKeyRequest>::table() {
  using R = UpdateKeyRequest;
  static const Table<R> table{"key changes",
                              {
                                  field("name", &R::name, name_of("What it is for; for people.")),
                                  field("role", &R::role, name_of(kRole)),
                                  field("scopes", &R::scopes, patterns(kScopes)),
                                  field("models", &R::models, patterns(kModels)),
                                  field("addresses", &R::addresses, patterns(kAddresses)),
                                  field("expires", &R::expires, name_of(kExpires)),
                                  field("limits", &R::limits, {.description = kKeyLimits}),
                                  field("priority", &R::priority, {.description = kPriority}),
                                  field("weight", &R::weight, weight_of(kKeyWeight)),
                              }};
  return table;
}

const json::Table<RotateKeyRequest>& json::Fields<RotateKeyRequest>::table() {
  static const Table<RotateKeyRequest> table{
      "rotation",
      {
          field("overlap", &RotateKeyRequest::overlap,
                {.description = "How long the old secret still works; 0: no longer.",
                 .minimum = 0,
                 .maximum = 90 * kDay}),
      }};
  return table;
}

const json::Table<RevokeKeyRequest>& json::Fields<RevokeKeyRequest>::table() {
  static const Table<RevokeKeyRequest> table{
      "revocation",
      {
          field("force", &RevokeKeyRequest::force,
                {.description = "Revoke it even if it is the last key that may do everything."}),
      }};
  return table;
}

const json::Table<ListKeysQuery>& json::Fields<ListKeysQuery>::table() {
  using Q = ListKeysQuery;
  static const Table<Q> table{
      "key query",
      {
          field("project", &Q::project, text("Only keys of this project.")),
          field("user", &Q::user, text("Only keys of this user.")),
          field("revoked", &Q::revoked, {.description = "Revoked keys too."}),
          field("limit", &Q::limit, {.description = "Keys in one answer.", .minimum = 1, .maximum = 10'000}),
          field("after", &Q::after, text("The `next` of the answer before.")),
      }};
  return table;
}

const json::Table<KeyAnswer>& json::Fields<KeyAnswer>::table() {
  using A = KeyAnswer;
  static const Table<A> table{
      "key",
      {
          field("id", &A::id, {.description = "The public part of the key.", .required = true}),
          field("name", &A::name, {.description = "What it is for."}),
          field(
              "state", &A::state,
              {.description =
                   "\"active\", \"expired\", \"disabled\" (its user or project), \"revoked\", \"unreadable\" (off)."}),
          field("role", &A::role, {.description = "Its role."}),
          field("project", &A::project, {.description = "Its project."}),
          field("user", &A::user, {.description = "Its user or service account."}),
          field("scopes", &A::scopes, {.description = "Permissions that narrow the role."}),
          field("models", &A::models, {.description = "Models that narrow the role."}),
          field("addresses", &A::addresses, {.description = "From where it may be used."}),
          field("limits", &A::limits, {.description = "Limits of its own."}),
          field("priority", &A::priority, {.description = kPriority}),
          field("weight", &A::weight, {.description = kKeyWeight}),
          field("created", &A::created, {.description = "When it was made."}),
          field("expires", &A::expires, {.description = "When it ends."}),
          field("old_secret_until", &A::old_secret_until,
                {.description = "After a rotation: how long the old secret still works."}),
          field("revoked", &A::revoked, {.description = "When it was revoked."}),
          field("last_used", &A::last_used, {.description = "When it was last used, as far as is known here."}),
          field("key", &A::key, {.description = "The key itself, shown this once.", .secret = true}),
      }};
  return table;
}

const json::Table<KeyList>& json::Fields<KeyList>::table() {
  static const Table<KeyList> table{
      "keys",
      {
          field("keys", &KeyList::keys, {.description = "In the order of their ids.", .required = true}),
          field("next", &KeyList::next, {.description = "`after` of the next query, if there are more."}),
      }};
  return table;
}

const json::Table<CreateProjectRequest>& json::Fields<CreateProjectRequest>::table() {
  using R = CreateProjectRequest;
  static const Table<R> table{
      "project request",
      {
          field("id", &R::id,
                {.description = "Small letters, digits and '-'.", .required = true, .min_length = 1, .max_length = 63}),
          field("name", &R::name, {.description = "For people.", .max_length = kNameLength}),
          field("weight", &R::weight, weight_of(kProjectWeight)),
          field("limits", &R::limits, {.description = "Limits over all its keys."}),
          field("audit_prompts", &R::audit_prompts, {.description = "Prompts and answers go into the audit trail."}),
          field("locality", &R::locality, {.description = kLocality}),
      }};
  return table;
}

const json::Table<UpdateProjectRequest>& json::Fields<UpdateProjectRequest>::table() {
  using R = UpdateProjectRequest;
  static const Table<R> table{
      "project changes",
      {
          field("name", &R::name, {.description = "For people.", .max_length = kNameLength}),
          field("weight", &R::weight, weight_of(kProjectWeight)),
          field("limits", &R::limits, {.description = "Limits over all its keys."}),
          field("audit_prompts", &R::audit_prompts, {.description = "Prompts and answers go into the audit trail."}),
          field("locality", &R::locality, {.description = kLocality}),
          field("disabled", &R::disabled, {.description = "Whether its keys are off."}),
      }};
  return table;
}

const json::Table<ProjectAnswer>& json::Fields<ProjectAnswer>::table() {
  using A = ProjectAnswer;
  static const Table<A> table{
      "project",
      {
          field("id", &A::id, {.description = "Its id.", .required = true}),
          field("name", &A::name, {.description = "For people."}),
          field("weight", &A::weight, {.description = kProjectWeight}),
          field("limits", &A::limits, {.description = "Limits over all its keys."}),
          field("audit_prompts", &A::audit_prompts, {.description = "Prompts and answers go into the audit trail."}),
          field("locality", &A::locality, {.description = kLocality}),
          field("created", &A::created, {.description = "When it was made."}),
          field("disabled", &A::disabled, {.description = "Since when its keys are off."}),
      }};
  return table;
}

const json::Table<ProjectList>& json::Fields<ProjectList>::table() {
  static const Table<ProjectList> table{
      "projects", {field("projects", &ProjectList::projects, {.description = "Projects.", .required = true})}};
  return table;
}

const json::Table<CreateUserRequest>& json::Fields<CreateUserRequest>::table() {
  using R = CreateUserRequest;
  static const Table<R> table{
      "user request",
      {
          field("id", &R::id, name_of("Letters, digits and \"._@-\"; absent: one is made.")),
          field("name", &R::name, name_of("For people.", true)),
          field("kind", &R::kind, {.description = "A person or a service account."}),
          field("role", &R::role, name_of("The role that its keys get unless they say another.")),
          field("project", &R::project, name_of("The project that it belongs to.")),
      }};
  return table;
}

const json::Table<UpdateUserRequest>& json::Fields<UpdateUserRequest>::table() {
  using R = UpdateUserRequest;
  static const Table<R> table{
      "user changes",
      {
          field("name", &R::name, name_of("For people.")),
          field("kind", &R::kind, {.description = "A person or a service account."}),
          field("role", &R::role, name_of("The role that its new keys get unless they say another.")),
          field("disabled", &R::disabled, {.description = "Whether its keys are off."}),
      }};
  return table;
}

const json::Table<ListUsersQuery>& json::Fields<ListUsersQuery>::table() {
  static const Table<ListUsersQuery> table{
      "user query", {field("project", &ListUsersQuery::project, text("Only users of this project."))}};
  return table;
}

const json::Table<UserAnswer>& json::Fields<UserAnswer>::table() {
  using A = UserAnswer;
  static const Table<A> table{
      "user",
      {
          field("id", &A::id, {.description = "Its id.", .required = true}),
          field("name", &A::name, {.description = "For people."}),
          field("kind", &A::kind, {.description = "\"user\" or \"service_account\"."}),
          field("role", &A::role, {.description = "The role that its keys get unless they say another."}),
          field("project", &A::project, {.description = "Its project."}),
          field("created", &A::created, {.description = "When it was made."}),
          field("disabled", &A::disabled, {.description = "Since when its keys are off."}),
      }};
  return table;
}

const json::Table<UserList>& json::Fields<UserList>::table() {
  static const Table<UserList> table{"users",
                                     {field("users", &UserList::users, {.description = "Users.", .required = true})}};
  return table;
}

const json::Table<CreateRoleRequest>& json::Fields<CreateRoleRequest>::table() {
  using R = CreateRoleRequest;
  static const Table<R> table{
      "role request",
      {
          field("name", &R::name,
                {.description = "Small letters, digits, '-' and '_'.",
                 .required = true,
                 .min_length = 1,
                 .max_length = 63}),
          field("description", &R::description, {.description = "For people.", .max_length = 512}),
          field("rules", &R::rules,
                {.description = "What the role may do.", .required = true, .min_items = 1, .max_items = 64}),
          field("caps", &R::caps, {.description = "Caps of its own on what one request may ask for."}),
      }};
  return table;
}

const json::Table<UpdateRoleRequest>& json::Fields<UpdateRoleRequest>::table() {
  using R = UpdateRoleRequest;
  static const Table<R> table{
      "role changes",
      {
          field("description", &R::description, {.description = "For people.", .max_length = 512}),
          field("rules", &R::rules, {.description = "What the role may do.", .min_items = 1, .max_items = 64}),
          field("caps", &R::caps, {.description = "Caps of its own on what one request may ask for."}),
      }};
  return table;
}

const json::Table<RoleAnswer>& json::Fields<RoleAnswer>::table() {
  using A = RoleAnswer;
  static const Table<A> table{"role",
                              {
                                  field("name", &A::name, {.description = "Its name.", .required = true}),
                                  field("description", &A::description, {.description = "For people."}),
                                  field("rules", &A::rules, {.description = "What it may do."}),
                                  field("caps", &A::caps, {.description = "Caps of its own."}),
                                  field("built_in", &A::built_in, {.description = "It cannot be changed."}),
                              }};
  return table;
}

const json::Table<RoleList>& json::Fields<RoleList>::table() {
  static const Table<RoleList> table{"roles",
                                     {field("roles", &RoleList::roles, {.description = "Roles.", .required = true})}};
  return table;
}

namespace access {

json::object typed_query(json::object query, const json::TableBase& table) {
  for (auto& [name, held] : query) {
    const auto* row = table.find(name);
    const auto* text = held.if_string();
    if (row == nullptr || text == nullptr) continue;
    if (row->type->kind() == json::Kind::kBool && (*text == "true" || *text == "false")) {
      held = *text == "true";
    } else if (row->type->kind() == json::Kind::kInteger) {
      if (const auto number = parse_number<std::int64_t>(*text)) held = *number;
    }
  }
  return query;
}

}  // namespace access
}  // namespace llm
