// /api/v1/projects, /api/v1/users, /api/v1/roles: who there is, and what they may.
#include "api/handlers.h"
#include "api/rest/administration.h"
#include "api/rest/query.h"

namespace llm::api::rest {

using access::AccessAdmin;
using access::Principal;

namespace {

constexpr int kCreated = 201;

// The calls of AccessAdmin, by what they take besides who asks.
using WithBody = Result<json::object> (AccessAdmin::*)(json::object, const Principal&);
using WithName = Result<json::object> (AccessAdmin::*)(std::string, const Principal&);
using WithBoth = Result<json::object> (AccessAdmin::*)(std::string, json::object, const Principal&);
using WithNothing = Result<json::object> (AccessAdmin::*)(const Principal&);

Task<Result<void>> run(Call& call, WithBody does) {
  auto work = [does, body = body_of(call)](AccessAdmin& admin, const Principal& actor) {
    return (admin.*does)(body, actor);
  };
  co_return co_await answer_administration(call, std::move(work), kCreated);
}

Task<Result<void>> run(Call& call, WithName does) {
  auto work = [does, name = call.name](AccessAdmin& admin, const Principal& actor) {
    return (admin.*does)(name, actor);
  };
  co_return co_await answer_administration(call, std::move(work));
}

Task<Result<void>> run(Call& call, WithBoth does) {
  auto work = [does, name = call.name, body = body_of(call)](AccessAdmin& admin, const Principal& actor) {
    return (admin.*does)(name, body, actor);
  };
  co_return co_await answer_administration(call, std::move(work));
}

Task<Result<void>> run(Call& call, WithNothing does) {
  auto work = [does](AccessAdmin& admin, const Principal& actor) { return (admin.*does)(actor); };
  co_return co_await answer_administration(call, std::move(work));
}

}  // namespace

Task<Result<void>> create_project(Call& call) {
  return run(call, &AccessAdmin::create_project);
}
Task<Result<void>> list_projects(Call& call) {
  return run(call, &AccessAdmin::list_projects);
}
Task<Result<void>> show_project(Call& call) {
  return run(call, &AccessAdmin::show_project);
}
Task<Result<void>> update_project(Call& call) {
  return run(call, &AccessAdmin::update_project);
}
Task<Result<void>> disable_project(Call& call) {
  return run(call, &AccessAdmin::disable_project);
}

Task<Result<void>> create_user(Call& call) {
  return run(call, &AccessAdmin::create_user);
}
Task<Result<void>> list_users(Call& call) {
  auto query = parse_query(call.query);
  if (!query) co_return fail(std::move(query.error()));
  auto work = [query = std::move(*query)](AccessAdmin& admin, const Principal& actor) {
    return admin.list_users(query, actor);
  };
  co_return co_await answer_administration(call, std::move(work));
}
Task<Result<void>> show_user(Call& call) {
  return run(call, &AccessAdmin::show_user);
}
Task<Result<void>> update_user(Call& call) {
  return run(call, &AccessAdmin::update_user);
}
Task<Result<void>> disable_user(Call& call) {
  return run(call, &AccessAdmin::disable_user);
}

Task<Result<void>> create_role(Call& call) {
  return run(call, &AccessAdmin::create_role);
}
Task<Result<void>> list_roles(Call& call) {
  return run(call, &AccessAdmin::list_roles);
}
Task<Result<void>> show_role(Call& call) {
  return run(call, &AccessAdmin::show_role);
}
Task<Result<void>> update_role(Call& call) {
  return run(call, &AccessAdmin::update_role);
}
Task<Result<void>> remove_role(Call& call) {
  return run(call, &AccessAdmin::remove_role);
}

}  // namespace llm::api::rest
