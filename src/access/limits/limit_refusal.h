#pragma once

#include "access/limits/account.h"
#include "base/error.h"

namespace llm::access {

// kRateLimited: `key "ci" is limited to 60 requests per minute; try again in 3 s`, with details `limit` (how many),
// `scope` ("key" …) and `kind` ("requests", "input_tokens", "requests_per_day", "concurrent" …).
Error refusal_error(const Refusal& refusal);
// The count cannot be known now: kUnavailable.
Error unknown_limit_error(Scope scope, std::string_view name, const Error& cause);

}  // namespace llm::access
