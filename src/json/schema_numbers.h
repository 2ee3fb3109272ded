#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "json/json.h"

// Values compared as JSON Schema 2020-12 (core, section 4.2.2) wants it: numbers by what they are worth, however they
// are written, objects without regard to order.
namespace llm::json::rules {

// Any JSON number without loss. A whole number that fits 64 bits and a sign is always `whole`, so equal numbers have
// equal members.
struct Number {
  bool whole = true;
  bool negative = false;        // whole
  std::uint64_t magnitude = 0;  // whole
  double real = 0;              // otherwise: has a fraction, or is 2^64 or more

  static Number of(const value& number);
  static Number of(double number);

  friend bool operator==(const Number&, const Number&) = default;
  friend std::strong_ordering operator<=>(const Number& a, const Number& b);
};

// mantissa * 10^exponent, of the shortest decimal text that reads as this number.
struct Decimal {
  bool negative = false;
  std::uint64_t mantissa = 0;
  int exponent = 0;

  static Decimal of(const Number& number);
};

// Is `number` a whole multiple of `step`, which is not zero? As decimals: 19.99 is one of 0.01, which no binary
// division says.
bool is_multiple(const Number& number, const Decimal& step);

// Has it no fraction? 1.0 and 1e300 are integers (validation, section 6.1.1).
bool is_integer(const value& number);

// `steps` grows by the work done, about one per value that was looked at.
bool equal(const value& a, const value& b, std::size_t& steps);
// Equal values have equal hashes.
std::uint64_t hash(const value& item, std::size_t& steps);
std::uint64_t hash_text(std::string_view text);

// Two equal items of a list, nullopt if all differ. Sorts hashes of longer lists; gives up (nullopt) when `steps`
// passes `most`, which many equal hashes of different values could bring about.
struct Twins {
  std::size_t first;
  std::size_t second;
};
std::optional<Twins> find_twins(const array& items, std::size_t& steps, std::size_t most);

}  // namespace llm::json::rules
