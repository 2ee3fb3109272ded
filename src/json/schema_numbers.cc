#include "json/schema_numbers.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

namespace llm::json::rules {

namespace {

__extension__ using Wide = unsigned __int128;

constexpr double kTwoTo64 = 18446744073709551616.0;

Number whole(bool negative, std::uint64_t magnitude) {
  return {.whole = true, .negative = negative && magnitude != 0, .magnitude = magnitude};
}

std::strong_ordering compare_whole(const Number& a, const Number& b) {
  if (a.negative != b.negative) return a.negative ? std::strong_ordering::less : std::strong_ordering::greater;
  return a.negative ? b.magnitude <=> a.magnitude : a.magnitude <=> b.magnitude;
}

// A whole number beside one that is not `whole`: that one is huge, or has a fraction and then fits a double exactly.
std::strong_ordering compare_mixed(const Number& a, double real) {
  if (std::abs(real) >= kTwoTo64) return real > 0 ? std::strong_ordering::less : std::strong_ordering::greater;
  const auto order = compare_whole(a, Number::of(std::trunc(real)));
  if (order != std::strong_ordering::equal) return order;
  return real > 0 ? std::strong_ordering::less : std::strong_ordering::greater;
}

std::uint64_t mix(std::uint64_t hash, std::uint64_t more) {
  hash ^= more + 0x9E3779B97F4A7C15U + (hash << 6) + (hash >> 2);
  return hash * 0xD6E8FEB86659FD93U;
}

}  // namespace

Number Number::of(double number) {
  if (number == std::trunc(number) && std::abs(number) < kTwoTo64) {
    return rules::whole(number < 0, static_cast<std::uint64_t>(std::abs(number)));
  }
  return {.whole = false, .real = number};
}

Number Number::of(const value& number) {
  if (const auto* integer = number.if_int64()) {
    const auto bits = static_cast<std::uint64_t>(*integer);
    return rules::whole(*integer < 0, *integer < 0 ? 0 - bits : bits);
  }
  if (const auto* integer = number.if_uint64()) return rules::whole(false, *integer);
  const auto* real = number.if_double();
  return Number::of(real != nullptr ? *real : 0);
}

std::strong_ordering operator<=>(const Number& a, const Number& b) {
  if (a.whole && b.whole) return compare_whole(a, b);
  if (a.whole) return compare_mixed(a, b.real);
  if (b.whole) return 0 <=> compare_mixed(b, a.real);
  return a.real < b.real   ? std::strong_ordering::less
         : a.real > b.real ? std::strong_ordering::greater
                           : std::strong_ordering::equal;
}

Decimal Decimal::of(const Number& number) {
  if (number.whole) return {number.negative, number.magnitude, 0};
  std::array<char, 32> text;
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), std::abs(number.real), std::chars_format::scientific).ptr;
  Decimal out{.negative = number.real < 0};
  const char* at = text.data();
  int fraction_digits = 0;
  bool in_fraction = false;
  for (; at != end && *at != 'e'; ++at) {
    if (*at == '.') {
      in_fraction = true;
      continue;
    }
    if (*at < '0' || *at > '9') return {};  // infinite, or not a number: JSON has neither
    out.mantissa = out.mantissa * 10 + static_cast<std::uint64_t>(*at - '0');
    if (in_fraction) ++fraction_digits;
  }
  if (at == end) return {};
  ++at;
  if (at != end && *at == '+') ++at;
  std::from_chars(at, end, out.exponent);
  out.exponent -= fraction_digits;
  return out;
}

bool is_multiple(const Number& number, const Decimal& step) {
  const Decimal decimal = Decimal::of(number);
  if (decimal.mantissa == 0) return true;
  if (step.mantissa == 0) return false;
  int shift = decimal.exponent - step.exponent;
  if (shift >= 0) {
    std::uint64_t rest = decimal.mantissa % step.mantissa;
    for (; shift > 0 && rest != 0; --shift) rest = static_cast<std::uint64_t>(Wide{rest} * 10 % step.mantissa);
    return rest == 0;
  }
  // mantissa / (step * 10^-shift): the divisor soon exceeds what 17 digits can be a multiple of.
  Wide divisor = step.mantissa;
  for (; shift < 0; ++shift) {
    divisor *= 10;
    if (divisor > decimal.mantissa) return false;
  }
  return decimal.mantissa % divisor == 0;
}

bool is_integer(const value& number) {
  const auto* real = number.if_double();
  return real == nullptr ? number.is_number() : *real == std::trunc(*real);
}

bool equal(const value& a, const value& b, std::size_t& steps) {
  ++steps;
  if (a.is_number() && b.is_number()) return Number::of(a) == Number::of(b);
  if (a.kind() != b.kind()) return false;
  if (const auto* text = a.if_string()) {
    if (text->size() != b.get_string().size()) return false;
    steps += text->size() / 64;
    return *text == b.get_string();
  }
  if (const auto* list = a.if_array()) {
    return std::ranges::equal(*list, b.get_array(),
                              [&steps](const value& x, const value& y) { return equal(x, y, steps); });
  }
  if (const auto* map = a.if_object()) {
    const object& other = b.get_object();
    if (map->size() != other.size()) return false;
    return std::ranges::all_of(*map, [&](const auto& member) {
      const value* found = other.if_contains(member.key());
      return found != nullptr && equal(member.value(), *found, steps);
    });
  }
  return !a.is_bool() || a.get_bool() == b.get_bool();
}

std::uint64_t hash_text(std::string_view text) {
  std::uint64_t out = 0xCBF29CE484222325U;
  for (const char c : text) out = (out ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return out;
}

std::uint64_t hash(const value& item, std::size_t& steps) {
  ++steps;
  switch (item.kind()) {
    case boost::json::kind::null:
      return 1;
    case boost::json::kind::bool_:
      return item.get_bool() ? 2 : 3;
    case boost::json::kind::string:
      steps += item.get_string().size() / 64;
      return mix(4, hash_text(item.get_string()));
    case boost::json::kind::array: {
      std::uint64_t out = 5;
      for (const auto& element : item.get_array()) out = mix(out, hash(element, steps));
      return out;
    }
    case boost::json::kind::object: {
      std::uint64_t out = 6;  // a sum: members count in any order
      for (const auto& member : item.get_object()) out += mix(hash_text(member.key()), hash(member.value(), steps));
      return out;
    }
    default: {
      const Number number = Number::of(item);
      return number.whole ? mix(number.negative ? 7 : 8, number.magnitude) : mix(9, std::hash<double>{}(number.real));
    }
  }
}

std::optional<Twins> find_twins(const array& items, std::size_t& steps, std::size_t most) {
  constexpr std::size_t kFew = 16;  // up to here comparing all pairs is faster, and needs no memory
  if (items.size() <= kFew) {
    for (std::size_t i = 1; i < items.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (equal(items[j], items[i], steps)) return Twins{j, i};
      }
      if (steps > most) return std::nullopt;
    }
    return std::nullopt;
  }
  std::vector<std::pair<std::uint64_t, std::size_t>> hashes;
  hashes.reserve(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) hashes.emplace_back(hash(items[i], steps), i);
  std::ranges::sort(hashes);
  for (std::size_t i = 1; i < hashes.size(); ++i) {
    for (std::size_t j = i; j-- > 0 && hashes[j].first == hashes[i].first;) {
      if (steps > most) return std::nullopt;
      const auto [first, second] = std::minmax(hashes[j].second, hashes[i].second);
      if (equal(items[first], items[second], steps)) return Twins{first, second};
    }
  }
  return std::nullopt;
}

}  // namespace llm::json::rules
