#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "json/json.h"

namespace llm::api {

// The body of every error answer, in the OpenAI API's shape with our additions:
//   {"error": {"message", "type", "code", "param": field or null, "pointer"?, <details>…, "retry_after"?,
//   "request_id"?}}
// `code` is the error table's name; an unknown model is "model_not_found", as OpenAI clients expect.
json::object error_body(const Error& error, std::string_view request_id = {});

}  // namespace llm::api
