#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace llm::json::rules {

// An ECMA-262 pattern (Unicode mode, with the leniencies of its annex B that harm nobody) in RE2's syntax, matching the
// same texts. All groups become non-capturing. kInvalidArgument says
// what is wrong, kUnsupported what cannot be done in linear time.
Result<std::string> to_re2(std::string_view pattern);

// For messages: long patterns are cut.
std::string shown_pattern(std::string_view pattern);

}  // namespace llm::json::rules
