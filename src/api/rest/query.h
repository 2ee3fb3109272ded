#pragma once

#include <string_view>

#include "base/error.h"
#include "json/json.h"

namespace llm::api::rest {

// "a=1&b=x%20y&b=z" -> {"a":"1","b":["x y","z"]}: every value a text, of names that come several times a list. '+' is a
// space (the URL Standard's application/x-www-form-urlencoded). kMalformed for a broken escape, a control byte and what
// is not UTF-8; kInvalidArgument for more than 64 of them.
Result<json::object> parse_query(std::string_view query);

}  // namespace llm::api::rest
