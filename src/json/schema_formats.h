#pragma once

#include <cstddef>
#include <string_view>

// The formats of JSON Schema 2020-12 (validation, section 7.3) that can be checked without tables of the whole of
// Unicode. idn-hostname, idn-email and uri-template are not among them.
namespace llm::json::rules {

struct Format {
  std::string_view name;
  bool (*check)(std::string_view text);
  std::size_t cost = 1;  // in steps of a validation
};

// nullptr: a format nobody here knows, which anything fits.
const Format* find_format(std::string_view name);

}  // namespace llm::json::rules
