#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "json/json.h"

namespace llm::cli {

// A place in a text; both from 1, columns in characters.
struct Position {
  std::int64_t line = 0;
  std::int64_t column = 0;
  friend bool operator==(const Position&, const Position&) = default;
};

struct YamlDocument {
  json::value value;
  // By JSON Pointer: where each member's key and each list item stands. What came through an alias has no place of its
  // own; that of its nearest parent is it.
  std::map<std::string, Position> positions;
};

// One YAML 1.2 document as JSON. Plain scalars are typed by the core schema (section 10.3.2), quoted ones are strings.
// kMalformed, with "line" and "column" among the error's details, for wrong syntax, duplicate keys, keys that are not
// strings, an alias inside its own anchor, unknown tags, more than one document, infinities and NaN, invalid UTF-8, and
// aliases that blow the document up. An empty text is null.
Result<YamlDocument> parse_yaml(std::string_view text);

// The scalar as YAML: plain where that reads back as the same string, else quoted.
std::string yaml_scalar(const json::value& scalar);

}  // namespace llm::cli
