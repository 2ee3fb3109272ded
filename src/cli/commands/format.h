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
// "in 3 days", "2 hours ago", "now"; from `now` to `time`, both in milliseconds since 1970.
std::string when_text(std::int64_t time_ms, std::int64_t now_ms);
// The same of a time as the API writes it (ISO 8601); empty where absent, as it is if it is no such time.
std::string when_text(const json::object& object, std::string_view key, std::int64_t now_ms);
std::string text_of(const json::object& object, std::string_view key);    // printable; empty where absent
std::string list_text(const json::object& object, std::string_view key);  // items of a list of strings: "a, b"

}  // namespace llm::cli
