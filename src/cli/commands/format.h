#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "json/json.h"

// Texts of single values for people.
namespace llm::cli {

std::string count_text(std::uint64_t count);                                // "134.5M", "7.2B", "812"; empty for 0
std::string bytes_text(const json::object& object, std::string_view key);   // "94.3 MiB"; empty where absent or 0
std::string seconds_text(double seconds);                                   // "1.2 s", "4m10s"; "never" below 0
std::string number_text(const json::object& object, std::string_view key);  // whole number; empty where absent or 0
std::string text_of(const json::object& object, std::string_view key);      // printable; empty where absent
std::string list_text(const json::object& object, std::string_view key);    // items of a list of strings: "a, b"

}  // namespace llm::cli
