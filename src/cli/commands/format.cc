#include "cli/commands/format.h"

#include <array>
#include <cmath>
#include <fmt/format.h>

#include "access/timestamp.h"
#include "base/strings.h"
#include "cli/terminal.h"

namespace llm::cli {

std::string count_text(std::uint64_t count) {
  if (count == 0) return {};
  constexpr std::array<std::pair<double, char>, 4> kUnits{{{1e12, 'T'}, {1e9, 'B'}, {1e6, 'M'}, {1e3, 'K'}}};
  const auto number = static_cast<double>(count);
  for (const auto& [unit, letter] : kUnits) {
    if (number >= unit) return fmt::format("{:.{}f}{}", number / unit, number / unit < 1000 ? 1 : 0, letter);
  }
  return fmt::to_string(count);
}

std::string bytes_text(const json::object& object, std::string_view key) {
  const auto bytes = json::int_or(object, key);
  return bytes > 0 ? format_bytes(static_cast<std::uint64_t>(bytes)) : std::string();
}

std::string seconds_text(double seconds) {
  if (seconds < 0) return "never";
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  return format_duration_ms(static_cast<std::int64_t>(std::min(seconds, 1e12)) * 1000);
}

std::string number_text(const json::object& object, std::string_view key) {
  const auto number = json::int_or(object, key);
  return number == 0 ? std::string() : fmt::to_string(number);
}

std::string text_of(const json::object& object, std::string_view key) {
  return printable(json::string_or(object, key));
}

std::string when_text(std::int64_t time_ms, std::int64_t now_ms) {
  constexpr std::array<std::pair<std::int64_t, std::string_view>, 4> kUnits{
      {{86'400, "day"}, {3'600, "hour"}, {60, "minute"}, {1, "second"}}};
  const bool past = time_ms < now_ms;
  const std::int64_t seconds = (past ? now_ms - time_ms : time_ms - now_ms) / 1000;
  for (const auto& [unit, name] : kUnits) {
    const std::int64_t count = seconds / unit;
    if (count == 0) continue;
    const std::string text = fmt::format("{} {}{}", count, name, count == 1 ? "" : "s");
    return past ? text + " ago" : "in " + text;
  }
  return "now";
}

std::string when_text(const json::object& object, std::string_view key, std::int64_t now_ms) {
  const auto time = access::parse_time(json::string_or(object, key));
  return time ? when_text(*time, now_ms) : text_of(object, key);
}

std::string list_text(const json::object& object, std::string_view key) {
  std::string out;
  const json::value* items = json::find(object, key);
  if (!items || !items->is_array()) return out;
  for (const json::value& item : items->get_array()) {
    if (!item.is_string()) continue;
    if (!out.empty()) out += ", ";
    const auto& text = item.get_string();
    out += printable({text.data(), text.size()});
  }
  return out;
}

}  // namespace llm::cli
