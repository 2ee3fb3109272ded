#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace llm::json {

// The document type of the whole program. Boost.JSON keeps unknown fields and key order, which pass-through needs.
using boost::json::array;
using boost::json::object;
using boost::json::value;

struct ParseLimits {
  std::size_t max_depth = 64;
};

// RFC 8259 text, strict: UTF-8, one value, no comments, no trailing data. The error is kMalformed and says line and
// column (both from 1) and what was wrong there. Duplicate keys: the last one counts, and since requests are written
// anew before they are forwarded, nobody behind us sees another one.
// `storage`: where the document's memory comes from, which has to live as long as the document and what is moved out of
// it.
Result<value> parse(std::string_view text, const ParseLimits& limits = {}, boost::json::storage_ptr storage = {});

std::string write(const value& document);
std::string write(const object& document);
// Appends `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD.
void append_quoted(std::string& out, std::string_view text);

// Lookups that never throw: nullptr / fallback when absent or of another type.
const value* find(const object& document, std::string_view key);
std::string_view string_or(const object& document, std::string_view key, std::string_view fallback = {});
std::int64_t int_or(const object& document, std::string_view key, std::int64_t fallback = 0);
bool bool_or(const object& document, std::string_view key, bool fallback = false);
// Any JSON number as a double, else the fallback.
double number_or(const object& document, std::string_view key, double fallback = 0);

// RFC 6901: one reference token escaped and appended to a pointer.
std::string pointer_join(std::string_view pointer, std::string_view token);

}  // namespace llm::json
