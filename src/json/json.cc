#include "json/json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fmt/compile.h>
#include <fmt/format.h>
#include <utility>

#include "base/byte_words.h"
#include "base/strings.h"

namespace llm::json {
namespace {

namespace bj = boost::json;

struct Place {
  std::size_t line = 1;
  std::size_t column = 1;  // in characters, not bytes
};

Place place_of(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto newline = before.rfind('\n');
  const std::string_view row = newline == std::string_view::npos ? before : before.substr(newline + 1);
  const auto is_character_start = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
  return {static_cast<std::size_t>(std::ranges::count(before, '\n')) + 1,
          static_cast<std::size_t>(std::ranges::count_if(row, is_character_start)) + 1};
}

std::unexpected<Error> malformed(std::string_view text, std::size_t offset, std::string_view reason) {
  const Place place = place_of(text, offset);
  return fail(
      Error{ErrorCode::kMalformed,
            fmt::format("invalid JSON at line {}, column {}: {}", place.line, place.column, reason),
            {},
            {{"line", static_cast<std::int64_t>(place.line)}, {"column", static_cast<std::int64_t>(place.column)}},
            0});
}

// The length of the well-formed UTF-8 character at `offset`, 0 if there is none.
std::size_t character_length(std::string_view text, std::size_t offset) {
  for (std::size_t length = 1; length <= 4 && offset + length <= text.size(); ++length) {
    if (valid_utf8(text.substr(offset, length))) return length;
  }
  return 0;
}

std::size_t first_invalid_utf8(std::string_view text) {
  std::size_t offset = 0;
  while (const std::size_t length = character_length(text, offset)) offset += length;
  return offset;
}

// What is not UTF-8 becomes U+FFFD, byte by byte.
std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = character_length(text, i);
    out.append(length == 0 ? std::string_view("\xEF\xBF\xBD") : text.substr(i, length));
    i += std::max<std::size_t>(length, 1);
  }
  return out;
}

constexpr std::string_view kHalfSurrogate = "half of a surrogate pair; write both \\u escapes or the character itself";

// Does a \u escape for the first half of a surrogate pair end right before `offset`?
bool follows_high_surrogate(std::string_view text, std::size_t offset) {
  if (offset < 6 || offset > text.size()) return false;
  const std::string escape = to_lower(text.substr(offset - 6, 4));
  return escape.starts_with("\\ud") && std::string_view("89ab").contains(escape[3]);
}

std::string unexpected_character(std::string_view text, std::size_t offset) {
  if (offset >= text.size()) return "the text ends too early";
  if (follows_high_surrogate(text, offset)) return std::string(kHalfSurrogate);
  const auto byte = static_cast<unsigned char>(text[offset]);
  if (byte == 0xEF && text.substr(offset).starts_with("\xEF\xBB\xBF")) return "remove the byte order mark";
  if (byte >= 0x80) return "a character outside a string";
  if (byte < 0x20 || byte == 0x7F) {
    return fmt::format("unexpected control character U+{:04X}; inside a string write it as \\u{:04x}", byte, byte);
  }
  return fmt::format("unexpected '{}'", static_cast<char>(byte));
}

std::string reason_of(const bj::error_code& error, std::string_view text, std::size_t offset,
                      const ParseLimits& limits) {
  if (error == bj::error::extra_data) return "text after the end of the value";
  if (error == bj::error::incomplete) return text.empty() ? "the text is empty" : "the text ends too early";
  if (error == bj::error::too_deep) return fmt::format("nested deeper than {} levels", limits.max_depth);
  if (error == bj::error::exponent_overflow) return "the exponent of this number is too large";
  if (error == bj::error::illegal_leading_surrogate || error == bj::error::illegal_trailing_surrogate ||
      error == bj::error::expected_utf16_escape) {
    return std::string(kHalfSurrogate);
  }
  if (error == bj::error::expected_hex_digit) return "expected four hexadecimal digits after \\u";
  if (error == bj::error::syntax) return unexpected_character(text, offset);
  return error.message();
}

// Boost.JSON makes NaN of "0e400" and infinity of "1e400". The first is a zero; false if there is any of the second.
bool settle_doubles(value& node) {
  if (auto* number = node.if_double()) {
    if (std::isnan(*number)) *number = 0;
    return !std::isinf(*number);
  }
  if (auto* list = node.if_array()) return std::ranges::all_of(*list, settle_doubles);
  if (auto* map = node.if_object()) {
    return std::ranges::all_of(*map, [](auto&& entry) { return settle_doubles(entry.value()); });
  }
  return true;
}

// Where the first number stands that no double can hold. `text` is known to be valid JSON.
std::size_t find_huge_number(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') {
      for (++i; i < text.size() && text[i] != '"'; ++i) {
        if (text[i] == '\\') ++i;
      }
    } else if (text[i] == '-' || (text[i] >= '0' && text[i] <= '9')) {
      const auto end = std::min(text.find_first_not_of("0123456789+-.eE", i), text.size());
      double number = 0;
      const auto parsed = std::from_chars(text.data() + i, text.data() + end, number);
      if (parsed.ec == std::errc::result_out_of_range || std::abs(number) > 1.797e308) return i;
      i = end - 1;
    }
  }
  return 0;
}

}  // namespace

Result<value> parse(std::string_view text, const ParseLimits& limits, bj::storage_ptr storage) {
  bj::parse_options options;
  options.max_depth = limits.max_depth;
  std::array<unsigned char, 4096> scratch;
  bj::parser parser({}, options, scratch.data(), scratch.size());
  parser.reset(std::move(storage));
  bj::error_code error;
  const std::size_t consumed = parser.write(text.data(), text.size(), error);
  if (error) {
    if (!valid_utf8(text)) {
      const std::size_t bad = first_invalid_utf8(text);
      if (bad <= consumed) return malformed(text, bad, "this is not UTF-8");
    }
    const std::size_t offset = error == bj::error::incomplete ? text.size() : consumed;
    return malformed(text, offset, reason_of(error, text, offset, limits));
  }
  value document = parser.release();
  if (!settle_doubles(document)) {
    return malformed(text, find_huge_number(text), "this number is too large (the most is about 1.8e308)");
  }
  return document;
}

namespace {

constexpr std::size_t kFirstCapacity = 1024;  // bytes: most documents need no second allocation

void append_value(std::string& out, const value& item);

// The shortest text that reads back as the same number, and as a floating-point one: Boost.JSON itself writes 0.1 as
// 1E-1, which is right and unreadable.
void append_number(std::string& out, double number) {
  const std::size_t begin = out.size();
  fmt::format_to(std::back_inserter(out), FMT_COMPILE("{}"), number);
  if (out.find_first_of(".e", begin) == std::string::npos) out.append(".0");
}

void append_object(std::string& out, const object& members) {
  out.push_back('{');
  bool first = true;
  for (const auto& member : members) {
    if (!std::exchange(first, false)) out.push_back(',');
    append_quoted(out, {member.key().data(), member.key().size()});
    out.push_back(':');
    append_value(out, member.value());
  }
  out.push_back('}');
}

void append_value(std::string& out, const value& item) {
  switch (item.kind()) {
    case boost::json::kind::null:
      out.append("null");
      break;
    case boost::json::kind::bool_:
      out.append(item.get_bool() ? "true" : "false");
      break;
    case boost::json::kind::int64:
      fmt::format_to(std::back_inserter(out), FMT_COMPILE("{}"), item.get_int64());
      break;
    case boost::json::kind::uint64:
      fmt::format_to(std::back_inserter(out), FMT_COMPILE("{}"), item.get_uint64());
      break;
    case boost::json::kind::double_:
      append_number(out, item.get_double());
      break;
    case boost::json::kind::string:
      append_quoted(out, {item.get_string().data(), item.get_string().size()});
      break;
    case boost::json::kind::array: {
      out.push_back('[');
      bool first = true;
      for (const auto& element : item.get_array()) {
        if (!std::exchange(first, false)) out.push_back(',');
        append_value(out, element);
      }
      out.push_back(']');
      break;
    }
    case boost::json::kind::object:
      append_object(out, item.get_object());
      break;
  }
}

}  // namespace

std::string write(const value& document) {
  std::string out;
  out.reserve(kFirstCapacity);
  append_value(out, document);
  return out;
}

std::string write(const object& document) {
  std::string out;
  out.reserve(kFirstCapacity);
  append_object(out, document);
  return out;
}

namespace {

bool needs_escape(std::uint64_t word) {
  return (bytes_below(word, 0x20) | bytes_equal(word, '"') | bytes_equal(word, '\\')) != 0;
}

}  // namespace

void append_quoted(std::string& out, std::string_view text) {
  if (!valid_utf8(text)) return append_quoted(out, replace_invalid_utf8(text));
  constexpr std::string_view kHex = "0123456789abcdef";
  out.push_back('"');
  std::size_t copied = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    while (i + 8 <= text.size() && !needs_escape(load_bytes(text.data() + i))) i += 8;
    if (i == text.size()) break;
    const char c = text[i];
    if (static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, copied, i - copied);
    copied = i + 1;
    out.push_back('\\');
    switch (c) {
      case '\n':
        out.push_back('n');
        break;
      case '\r':
        out.push_back('r');
        break;
      case '\t':
        out.push_back('t');
        break;
      case '"':
      case '\\':
        out.push_back(c);
        break;
      default:
        out.append("u00");
        out.push_back(kHex[static_cast<unsigned char>(c) >> 4]);
        out.push_back(kHex[static_cast<unsigned char>(c) & 15]);
    }
  }
  out.append(text, copied);
  out.push_back('"');
}

const value* find(const object& document, std::string_view key) {
  return document.if_contains(key);
}

std::string_view string_or(const object& document, std::string_view key, std::string_view fallback) {
  const value* found = document.if_contains(key);
  if (found == nullptr || !found->is_string()) return fallback;
  return found->get_string();
}

std::int64_t int_or(const object& document, std::string_view key, std::int64_t fallback) {
  const value* found = document.if_contains(key);
  if (found == nullptr || !found->is_number()) return fallback;
  bj::error_code error;
  const auto number = found->to_number<std::int64_t>(error);  // refuses fractions and what does not fit
  return error ? fallback : number;
}

bool bool_or(const object& document, std::string_view key, bool fallback) {
  const value* found = document.if_contains(key);
  return found != nullptr && found->is_bool() ? found->get_bool() : fallback;
}

double number_or(const object& document, std::string_view key, double fallback) {
  const value* found = document.if_contains(key);
  if (found == nullptr || !found->is_number()) return fallback;
  if (found->is_double()) return found->get_double();
  return found->is_int64() ? static_cast<double>(found->get_int64()) : static_cast<double>(found->get_uint64());
}

std::string pointer_join(std::string_view pointer, std::string_view token) {
  std::string out;
  out.reserve(pointer.size() + token.size() + 1);
  out.append(pointer);
  out.push_back('/');
  for (const char c : token) {
    if (c == '~') {
      out.append("~0");
    } else if (c == '/') {
      out.append("~1");
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace llm::json
