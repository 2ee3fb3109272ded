#include "observe/log_format.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <fmt/compile.h>
#include <fmt/format.h>
#include <iterator>
#include <variant>

#include "base/strings.h"

namespace llm::observe {
namespace {

enum class Escape : std::uint8_t {
  kJson,    // inside a JSON string
  kQuoted,  // inside the quotes of a text value
  kPlain,   // a text message: quotes and backslashes stay
};

// Bytes that no style has to look at twice.
constexpr std::array<bool, 256> kPlainBytes = [] {
  std::array<bool, 256> table{};
  for (std::size_t c = 0x20; c < 0x7F; ++c) table[c] = c != '"' && c != '\\';
  return table;
}();

// Characters beyond ASCII that terminals or viewers obey instead of showing: C1 controls (U+009B opens an escape
// sequence), line and paragraph separators, bidirectional embeddings, overrides and isolates.
bool is_obeyed(char32_t c) {
  return (c >= 0x80 && c <= 0x9F) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

// The UTF-8 character at the start of `text`, whose lead byte is 0x80 or above; length 0 if it is ill-formed.
std::pair<char32_t, std::size_t> decode(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (text.size() < length || !valid_utf8(text.substr(0, length))) return {0, 0};
  char32_t c = lead & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) c = c << 6 | (static_cast<unsigned char>(text[i]) & 0x3FU);
  return {c, length};
}

void append_ascii_escaped(std::string& out, char c, Escape style) {
  switch (c) {
    case '"':
    case '\\':
      if (style != Escape::kPlain) out.push_back('\\');
      out.push_back(c);
      return;
    case '\n':
      out.append("\\n");
      return;
    case '\r':
      out.append("\\r");
      return;
    case '\t':
      out.append("\\t");
      return;
    default:
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
  }
}

void append_escaped(std::string& out, std::string_view text, Escape style) {
  while (!text.empty()) {
    const auto special = std::ranges::find_if(text, [](char c) { return !kPlainBytes[static_cast<unsigned char>(c)]; });
    const auto plain = static_cast<std::size_t>(special - text.begin());
    out.append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) return;
    std::size_t used = 1;
    if (static_cast<unsigned char>(text.front()) < 0x80) {
      append_ascii_escaped(out, text.front(), style);
    } else if (const auto [c, length] = decode(text); length == 0) {
      out.append("\\ufffd");  // an ill-formed byte: a JSON line must stay UTF-8
    } else {
      used = length;
      if (is_obeyed(c)) {
        fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
      } else {
        out.append(text.substr(0, length));
      }
    }
    text.remove_prefix(used);
  }
}

void append_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  append_escaped(out, text, Escape::kJson);
  out.push_back('"');
}

void append_text_value(std::string& out, std::string_view text) {
  const bool bare = !text.empty() && std::ranges::all_of(text, [](char c) {
    return kPlainBytes[static_cast<unsigned char>(c)] && c != ' ' && c != '=';
  });
  if (bare) {
    out.append(text);
    return;
  }
  out.push_back('"');
  append_escaped(out, text, Escape::kQuoted);
  out.push_back('"');
}

// JSON has no NaN and no infinities (RFC 8259, section 6): they are written as texts.
void append_number(std::string& out, double number, bool json) {
  const bool quote = json && !std::isfinite(number);
  if (quote) out.push_back('"');
  fmt::format_to(std::back_inserter(out), FMT_COMPILE("{}"), number);
  if (quote) out.push_back('"');
}

void append_value(std::string& out, const LogField::Value& value, bool json) {
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    json ? append_json_string(out, *text) : append_text_value(out, *text);
  } else if (const auto* number = std::get_if<double>(&value)) {
    append_number(out, *number, json);
  } else if (const auto* flag = std::get_if<bool>(&value)) {
    out.append(*flag ? "true" : "false");
  } else if (const auto* whole = std::get_if<std::int64_t>(&value)) {
    const fmt::format_int digits(*whole);
    out.append(digits.data(), digits.size());
  } else {
    const fmt::format_int digits(std::get<std::uint64_t>(value));
    out.append(digits.data(), digits.size());
  }
}

bool is_reserved(std::string_view name) {
  return name == "ts" || name == "level" || name == "msg";
}

void append_digits(std::string& out, unsigned value, int width) {
  std::array<char, 8> digits;
  for (int i = width; i-- > 0; value /= 10) digits[static_cast<std::size_t>(i)] = static_cast<char>('0' + value % 10);
  out.append(digits.data(), static_cast<std::size_t>(width));
}

void append_clock(std::string& out, unsigned hours, unsigned minutes, unsigned seconds, unsigned ms) {
  append_digits(out, hours, 2);
  out.push_back(':');
  append_digits(out, minutes, 2);
  out.push_back(':');
  append_digits(out, seconds, 2);
  out.push_back('.');
  append_digits(out, ms, 3);
}

// RFC 3339 in UTC with milliseconds.
void append_timestamp(std::string& out, std::chrono::system_clock::time_point time) {
  using namespace std::chrono;
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss clock(floor<milliseconds>(time - day));
  append_digits(out, static_cast<unsigned>(static_cast<int>(date.year())), 4);
  out.push_back('-');
  append_digits(out, static_cast<unsigned>(date.month()), 2);
  out.push_back('-');
  append_digits(out, static_cast<unsigned>(date.day()), 2);
  out.push_back('T');
  append_clock(out, static_cast<unsigned>(clock.hours().count()), static_cast<unsigned>(clock.minutes().count()),
               static_cast<unsigned>(clock.seconds().count()), static_cast<unsigned>(clock.subseconds().count()));
  out.push_back('Z');
}

void append_local_time(std::string& out, std::chrono::system_clock::time_point time) {
  using namespace std::chrono;
  const auto seconds = floor<std::chrono::seconds>(time);
  const std::time_t unix_time = system_clock::to_time_t(seconds);
  std::tm local{};
  localtime_r(&unix_time, &local);
  append_clock(out, static_cast<unsigned>(local.tm_hour), static_cast<unsigned>(local.tm_min),
               static_cast<unsigned>(local.tm_sec),
               static_cast<unsigned>(duration_cast<milliseconds>(time - seconds).count()));
}

struct LevelStyle {
  std::string_view label;  // five columns wide
  std::string_view color;  // ANSI, SGR parameters
};

LevelStyle style_of(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return {"TRACE", "\x1b[2m"};
    case LogLevel::kDebug:
      return {"DEBUG", "\x1b[36m"};
    case LogLevel::kInfo:
      return {"INFO ", "\x1b[32m"};
    case LogLevel::kWarn:
      return {"WARN ", "\x1b[33m"};
    case LogLevel::kError:
    case LogLevel::kOff:
      break;
  }
  return {"ERROR", "\x1b[31m"};
}

}  // namespace

void append_json_line(std::string& out, std::chrono::system_clock::time_point time, LogLevel level,
                      std::string_view message, std::span<const LogField> fields) {
  out.append("{\"ts\":\"");
  append_timestamp(out, time);
  out.append("\",\"level\":\"");
  out.append(to_string(level));
  out.append("\",\"msg\":");
  append_json_string(out, message);
  for (const LogField& field : fields) {
    out.append(is_reserved(field.name) ? ",\"_" : ",\"");
    append_escaped(out, field.name, Escape::kJson);
    out.append("\":");
    append_value(out, field.value, true);
  }
  out.append("}\n");
}

void append_text_line(std::string& out, std::chrono::system_clock::time_point time, LogLevel level,
                      std::string_view message, std::span<const LogField> fields, bool color) {
  constexpr std::string_view kDim = "\x1b[2m";
  constexpr std::string_view kReset = "\x1b[0m";
  const LevelStyle style = style_of(level);
  append_local_time(out, time);
  out.push_back(' ');
  if (color) out.append(style.color);
  out.append(style.label);
  if (color) out.append(kReset);
  out.push_back(' ');
  append_escaped(out, message, Escape::kPlain);
  for (const LogField& field : fields) {
    out.push_back(' ');
    if (color) out.append(kDim);
    if (is_reserved(field.name)) out.push_back('_');
    append_escaped(out, field.name, Escape::kPlain);
    out.push_back('=');
    if (color) out.append(kReset);
    append_value(out, field.value, false);
  }
  out.push_back('\n');
}

}  // namespace llm::observe
