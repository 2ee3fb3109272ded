#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "json/field_types.h"

// Numeric bounds of a field, in messages, references and schemas. Inside this layer only.
namespace llm::json::detail {

// How a bound is written: a plain number, a duration in milliseconds, a size in bytes.
using Print = std::string (*)(double);
std::string print_number(double number);
std::string print_duration(double ms);
std::string print_bytes(double bytes);

// Any JSON number as a double.
double number_of(const value& in);

// A whole number that came as 5, 5.0 or 18446744073709551615; nullopt for all else.
struct Integer {
  bool negative = false;
  std::uint64_t bits = 0;  // two's complement where negative
};
std::optional<Integer> integer_of(const value& in);

bool within(double number, const FieldOptions& field);
// "a number between 0 and 2".
std::string with_bounds(std::string_view noun, const FieldOptions& field, Print print);
// "0..65535", ">= 1".
std::string short_bounds(const FieldOptions& field, Print print);
// minimum, exclusiveMinimum, maximum.
void add_bounds(object& schema, const FieldOptions& field);

}  // namespace llm::json::detail
