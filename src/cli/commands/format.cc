#include "cli/commands/format.h"

#include <array>
#include <cmath>
#include <fmt/format.h>

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
