// /api/v1/keys: API keys. Their secrets are in the answers to create and rotate, and nowhere else.
#include "api/handlers.h"
#include "api/rest/administration.h"
#include "api/rest/query.h"

namespace llm::api::rest {

using access::AccessAdmin;
using access::Principal;

namespace {
constexpr int kCreated = 201;
}

Task<Result<void>> create_key(Call& call) {
  auto work = [body = body_of(call)](AccessAdmin& admin, const Principal& actor) {
    return admin.create_key(body, actor);
  };
  co_return co_await answer_administration(call, std::move(work), kCreated);
}

Task<Result<void>> list_keys(Call& call) {
  auto query = parse_query(call.query);
  if (!query) co_return fail(std::move(query.error()));
  auto work = [query = std::move(*query)](AccessAdmin& admin, const Principal& actor) {
    return admin.list_keys(query, actor);
  };
  co_return co_await answer_administration(call, std::move(work));
}

Task<Result<void>> show_key(Call& call) {
  auto work = [id = call.name](AccessAdmin& admin, const Principal& actor) { return admin.show_key(id, actor); };
  co_return co_await answer_administration(call, std::move(work));
}

Task<Result<void>> update_key(Call& call) {
  auto work = [id = call.name, body = body_of(call)](AccessAdmin& admin, const Principal& actor) {
    return admin.update_key(id, body, actor);
  };
  co_return co_await answer_administration(call, std::move(work));
}

Task<Result<void>> rotate_key(Call& call) {
  auto work = [id = call.name, body = body_of(call)](AccessAdmin& admin, const Principal& actor) {
    return admin.rotate_key(id, body, actor);
  };
  co_return co_await answer_administration(call, std::move(work));
}

Task<Result<void>> revoke_key(Call& call) {
  auto query = parse_query(call.query);
  if (!query) co_return fail(std::move(query.error()));
  auto work = [id = call.name, query = std::move(*query)](AccessAdmin& admin, const Principal& actor) {
    return admin.revoke_key(id, query, actor);
  };
  co_return co_await answer_administration(call, std::move(work));
}

}  // namespace llm::api::rest
