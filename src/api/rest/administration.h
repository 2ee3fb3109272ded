#pragma once

#include <functional>

#include "api/rest/answers.h"

namespace llm::api::rest {

// What all handlers of access control start with. kNotFound where the gateway runs without it.
Result<access::AccessControl*> access_of(Call& call);

// Runs a call of AccessAdmin and answers with what it returns. It blocks, so it runs on the pool for that, with its own
// copy of who asks: a client that goes away ends the handler, not the call.
using AdminCall = std::function<Result<json::object>(access::AccessAdmin& admin, const access::Principal& actor)>;
Task<Result<json::object>> administer(Call& call, AdminCall work);
Task<Result<void>> answer_administration(Call& call, AdminCall work, int status = 200);

// The request, with memory of its own: call.body lives no longer than the call.
inline json::object body_of(const Call& call) {
  return {call.body, boost::json::storage_ptr()};
}

}  // namespace llm::api::rest
