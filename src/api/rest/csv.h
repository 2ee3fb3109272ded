#pragma once

#include <span>
#include <string>
#include <string_view>

#include "json/json.h"

namespace llm::api::rest {

// Rows of an answer as RFC 4180 text with a head line. A member that a row lacks is an empty cell. A text that a
// spreadsheet would take for a formula (it begins with = + - @, a tab or a line break) gets an apostrophe before it;
// numbers stay numbers.
std::string to_csv(const json::array& rows, std::span<const std::string_view> columns);

}  // namespace llm::api::rest
