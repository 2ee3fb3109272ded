#include "api/rest/administration.h"

namespace llm::api::rest {

Result<access::AccessControl*> access_of(Call& call) {
  if (call.services.access) return call.services.access;
  return fail(ErrorCode::kNotFound, "this gateway runs without access control");
}

Task<Result<json::object>> administer(Call& call, AdminCall work) {
  const auto access = access_of(call);
  if (!access) co_return fail(access.error());
  access::AccessControl& control = **access;
  co_return co_await control.blocking.run(
      [&admin = control.admin, actor = call.principal, work = std::move(work)] { return work(admin, actor); });
}

Task<Result<void>> answer_administration(Call& call, AdminCall work, int status) {
  auto result = co_await administer(call, std::move(work));
  if (!result) co_return fail(std::move(result.error()));
  co_return co_await call.exchange.respond(status, "application/json", json::write(*result));
}

}  // namespace llm::api::rest
