#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llm {

// ASCII only, as HTTP and our names need; never the locale.
bool iequals(std::string_view a, std::string_view b);
std::string to_lower(std::string_view text);
std::string_view trim(std::string_view text);  // spaces and tabs
std::vector<std::string_view> split(std::string_view text, char separator);

// The whole text as a decimal number without sign, space or prefix; nullopt on anything else or on overflow.
template <std::integral T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  if (text.empty() || text.front() == '+') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The candidates nearest to `wanted` by edit distance (at most about a third of its length, and prefix matches),
// best first, for "did you mean".
std::vector<std::string> nearest(std::string_view wanted, std::span<const std::string> candidates,
                                 std::size_t most = 3);

// Is this well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms)?
bool valid_utf8(std::string_view bytes);
// The longest prefix length of `bytes` that does not cut a UTF-8 sequence at the end.
std::size_t utf8_complete_prefix(std::string_view bytes);

// "94.3 MiB" for people. Parses "512MiB", "8 GiB", "1000000" for settings (binary and decimal units); nullopt if wrong.
std::string format_bytes(std::uint64_t bytes);
std::optional<std::uint64_t> parse_bytes(std::string_view text);
// "5m", "1h30m", "250ms", "-1" and plain seconds; result in milliseconds. nullopt if wrong.
std::optional<std::int64_t> parse_duration_ms(std::string_view text);
std::string format_duration_ms(std::int64_t ms);

std::string hex(std::span<const unsigned char> bytes);

}  // namespace llm
