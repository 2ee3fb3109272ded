#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "json/json.h"

// As much of TOML 1.0 as it takes to find one table of a file and to leave all others alone: keys, headers, and where
// each value ends. Of values only texts, lists and inline tables are understood.
namespace llm::cli {

using TomlKey = std::vector<std::string>;

struct TomlAssignment {
  TomlKey key;            // within its table
  std::size_t begin = 0;  // of the key
  std::size_t value_begin = 0;
  std::size_t value_end = 0;
  json::value value;  // null for what is not understood
};

struct TomlTable {
  TomlKey path;                // empty: what stands before the first header
  bool is_array_item = false;  // [[path]]
  std::size_t begin = 0;       // of its header's line
  std::size_t end = 0;         // of the line of its last assignment, or of the header; without the line end
  std::vector<TomlAssignment> assignments;
};

// The tables in the order of the file; the first one is the top. kMalformed with the details "line" and "column".
Result<std::vector<TomlTable>> parse_toml_tables(std::string_view text);

std::string toml_key(std::string_view name);
// Of texts, lists and objects of texts.
std::string toml_value(const json::value& value);

}  // namespace llm::cli
