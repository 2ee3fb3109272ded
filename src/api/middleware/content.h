#pragma once

#include "api/call.h"

namespace llm::api {

// Reads the body into call.body. kUnsupportedMediaType unless it is declared as JSON: pages of other sites cannot send
// that without asking (CORS preflight), so no form can drive the gateway. kMalformed with line and column,
// kInvalidArgument if it is no object. An absent body counts as {}.
Task<Result<void>> read_json_body(Call& call);

}  // namespace llm::api
