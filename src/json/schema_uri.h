#pragma once

#include <optional>
#include <string>
#include <string_view>

// What JSON Schema needs of RFC 3986: reference resolution, and the two parts around the '#'.
namespace llm::json::rules {

// Section 5.2.2. An empty base leaves the reference as it is.
std::string resolve_uri(std::string_view base, std::string_view reference);

struct SplitUri {
  std::string_view resource;
  std::string_view fragment;  // without '#', still percent-encoded
};
SplitUri split_fragment(std::string_view uri);

// nullopt if a % is not followed by two hexadecimal digits.
std::optional<std::string> percent_decode(std::string_view text);

}  // namespace llm::json::rules
