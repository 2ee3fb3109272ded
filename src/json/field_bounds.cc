#include "json/field_bounds.h"

#include <bit>
#include <cmath>
#include <fmt/format.h>

namespace llm::json::detail {
namespace {

value number_value(double number) {
  if (number == std::floor(number) && std::abs(number) < 9e15) return static_cast<std::int64_t>(number);
  return number;
}

}  // namespace

double number_of(const value& in) {
  if (in.is_int64()) return static_cast<double>(in.get_int64());
  return in.is_uint64() ? static_cast<double>(in.get_uint64()) : in.get_double();
}

std::string print_number(double number) {
  return fmt::format("{}", number);
}
std::string print_duration(double ms) {
  return to_text(Duration{static_cast<std::int64_t>(ms)});
}
std::string print_bytes(double bytes) {
  return to_text(ByteSize{static_cast<std::uint64_t>(bytes)});
}

std::string with_bounds(std::string_view noun, const FieldOptions& field, Print print) {
  if (field.exclusive_minimum) {
    const std::string most = field.maximum ? " and at most " + print(*field.maximum) : std::string();
    return fmt::format("{} greater than {}{}", noun, print(*field.exclusive_minimum), most);
  }
  if (field.minimum && field.maximum) {
    return fmt::format("{} between {} and {}", noun, print(*field.minimum), print(*field.maximum));
  }
  if (field.minimum) return fmt::format("{} of at least {}", noun, print(*field.minimum));
  if (field.maximum) return fmt::format("{} of at most {}", noun, print(*field.maximum));
  return std::string(noun);
}

std::string short_bounds(const FieldOptions& field, Print print) {
  if (field.exclusive_minimum) {
    return fmt::format("> {}{}", print(*field.exclusive_minimum),
                       field.maximum ? ", <= " + print(*field.maximum) : std::string());
  }
  if (field.minimum && field.maximum) return fmt::format("{}..{}", print(*field.minimum), print(*field.maximum));
  if (field.minimum) return ">= " + print(*field.minimum);
  return field.maximum ? "<= " + print(*field.maximum) : std::string();
}

bool within(double number, const FieldOptions& field) {
  return !(field.minimum && number < *field.minimum) && !(field.maximum && number > *field.maximum) &&
         !(field.exclusive_minimum && number <= *field.exclusive_minimum);
}

void add_bounds(object& schema, const FieldOptions& field) {
  if (field.minimum) schema["minimum"] = number_value(*field.minimum);
  if (field.exclusive_minimum) schema["exclusiveMinimum"] = number_value(*field.exclusive_minimum);
  if (field.maximum) schema["maximum"] = number_value(*field.maximum);
}

std::optional<Integer> integer_of(const value& in) {
  if (in.is_int64()) return Integer{in.get_int64() < 0, std::bit_cast<std::uint64_t>(in.get_int64())};
  if (in.is_uint64()) return Integer{false, in.get_uint64()};
  if (!in.is_double()) return std::nullopt;
  const double number = in.get_double();
  if (number != std::floor(number) || number < -0x1p63 || number >= 0x1p64) return std::nullopt;
  if (number < 0) return Integer{true, std::bit_cast<std::uint64_t>(static_cast<std::int64_t>(number))};
  return Integer{false, static_cast<std::uint64_t>(number)};
}

}  // namespace llm::json::detail
