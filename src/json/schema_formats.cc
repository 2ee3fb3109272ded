#include "json/schema_formats.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "base/strings.h"
#include "json/schema_formats_uri.h"
#include "json/schema_pattern.h"

namespace llm::json::rules {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// Takes exactly so many digits off the front.
std::optional<int> take_digits(std::string_view& text, std::size_t count) {
  if (text.size() < count || !std::ranges::all_of(text.substr(0, count), is_digit)) return std::nullopt;
  int out = 0;
  std::from_chars(text.data(), text.data() + count, out);
  text.remove_prefix(count);
  return out;
}
bool take(std::string_view& text, char wanted) {
  if (!text.starts_with(wanted)) return false;
  text.remove_prefix(1);
  return true;
}

// RFC 3339, section 5.6.
bool take_date(std::string_view& text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, '-')) return false;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-')) return false;
  const auto day = take_digits(text, 2);
  using namespace std::chrono;
  return day && year_month_day(std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                               std::chrono::day(static_cast<unsigned>(*day)))
                    .ok();
}

bool is_date(std::string_view text) {
  return take_date(text) && text.empty();
}

bool is_time(std::string_view text) {
  const auto hour = take_digits(text, 2);
  if (!hour || *hour > 23 || !take(text, ':')) return false;
  const auto minute = take_digits(text, 2);
  if (!minute || *minute > 59 || !take(text, ':')) return false;
  const auto second = take_digits(text, 2);
  if (!second || *second > 60) return false;
  if (take(text, '.')) {
    const auto digits = std::ranges::find_if_not(text, is_digit) - text.begin();
    if (digits == 0) return false;
    text.remove_prefix(static_cast<std::size_t>(digits));
  }
  int offset = 0;  // minutes
  if (text.starts_with('+') || text.starts_with('-')) {
    const int sign = text[0] == '+' ? 1 : -1;
    text.remove_prefix(1);
    const auto hours = take_digits(text, 2);
    if (!hours || *hours > 23 || !take(text, ':')) return false;
    const auto minutes = take_digits(text, 2);
    if (!minutes || *minutes > 59) return false;
    offset = sign * (*hours * 60 + *minutes);
  } else if (!take(text, 'Z') && !take(text, 'z')) {
    return false;
  }
  if (!text.empty()) return false;
  // A leap second is inserted at the end of a day in UTC.
  constexpr int kDay = 24 * 60;
  return *second < 60 || ((*hour * 60 + *minute - offset) % kDay + kDay) % kDay == kDay - 1;
}

bool is_date_time(std::string_view text) {
  return take_date(text) && (take(text, 'T') || take(text, 't')) && is_time(text);
}

// RFC 3339, appendix A: P1Y2M3DT4H5M6S without gaps between its units, or P4W.
bool is_duration(std::string_view text) {
  if (!take(text, 'P')) return false;
  std::string_view units = "YMD";
  const std::string_view time_units = "HMS";
  bool in_time = false;
  bool any = false;
  while (!text.empty()) {
    if (text[0] == 'T') {
      if (in_time) return false;
      in_time = true;
      any = false;
      units = time_units;
      text.remove_prefix(1);
      continue;
    }
    const auto digits = static_cast<std::size_t>(std::ranges::find_if_not(text, is_digit) - text.begin());
    if (digits == 0 || digits == text.size()) return false;
    const char unit = text[digits];
    text.remove_prefix(digits + 1);
    if (unit == 'W') return !in_time && !any && text.empty();
    const auto place = units.find(unit);
    if (place == std::string_view::npos || (any && place != 0)) return false;
    units = units.substr(place + 1);
    any = true;
  }
  return any;
}

// RFC 1123, section 2.1.
bool is_hostname(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  return std::ranges::all_of(split(text, '.'), [](std::string_view label) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    if (label.size() > 3 && label.substr(2, 2) == "--" && !iequals(label.substr(0, 2), "xn")) return false;
    return std::ranges::all_of(label, [](char c) { return is_letter(c) || is_digit(c) || c == '-'; });
  });
}

// RFC 5321, section 4.1.2.
bool is_email(std::string_view text) {
  const auto at = text.rfind('@');
  if (at == std::string_view::npos || at == 0 || at > 64) return false;
  const std::string_view local = text.substr(0, at);
  std::string_view domain = text.substr(at + 1);
  if (domain.starts_with('[') && domain.ends_with(']')) {
    domain = domain.substr(1, domain.size() - 2);
    if (iequals(domain.substr(0, 5), "ipv6:")) return is_ipv6(domain.substr(5));
    return is_ipv4(domain);
  }
  if (!is_hostname(domain)) return false;
  if (local.size() >= 2 && local.front() == '"' && local.back() == '"') {
    return std::ranges::all_of(local, [](char c) { return c >= 0x20 && c < 0x7F; });
  }
  static constexpr std::string_view kOthers = "!#$%&'*+-/=?^_`{|}~";
  return std::ranges::all_of(split(local, '.'), [](std::string_view atom) {
    return !atom.empty() && std::ranges::all_of(atom, [](char c) {
      return is_letter(c) || is_digit(c) || kOthers.find(c) != std::string_view::npos;
    });
  });
}

// RFC 9562: 8-4-4-4-12 hexadecimal digits.
bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
    if (hyphen ? text[i] != '-' : !is_hex(text[i])) return false;
  }
  return true;
}

// RFC 6901.
bool is_json_pointer(std::string_view text) {
  if (!text.empty() && text[0] != '/') return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '~' && (i + 1 == text.size() || (text[i + 1] != '0' && text[i + 1] != '1'))) return false;
  }
  return true;
}

bool is_relative_json_pointer(std::string_view text) {
  const auto digits = static_cast<std::size_t>(std::ranges::find_if_not(text, is_digit) - text.begin());
  if (digits == 0 || (digits > 1 && text[0] == '0')) return false;
  text.remove_prefix(digits);
  return text == "#" || is_json_pointer(text);
}

bool is_regex(std::string_view text) {
  // What we cannot run may still be a regular expression.
  const auto compiled = Pattern::compile(text);
  return compiled || compiled.error().code == ErrorCode::kUnsupported;
}

constexpr std::size_t kCompileCost = 5000;

constexpr std::array<Format, 16> kFormats = {{
    {"date", is_date},
    {"date-time", is_date_time},
    {"duration", is_duration},
    {"email", is_email},
    {"hostname", is_hostname},
    {"ipv4", is_ipv4},
    {"ipv6", is_ipv6},
    {"iri", is_iri},
    {"iri-reference", is_iri_reference},
    {"json-pointer", is_json_pointer},
    {"regex", is_regex, kCompileCost},
    {"relative-json-pointer", is_relative_json_pointer},
    {"time", is_time},
    {"uri", is_uri},
    {"uri-reference", is_uri_reference},
    {"uuid", is_uuid},
}};

}  // namespace

const Format* find_format(std::string_view name) {
  const auto* found = std::ranges::find(kFormats, name, &Format::name);
  return found == kFormats.end() ? nullptr : found;
}

}  // namespace llm::json::rules
