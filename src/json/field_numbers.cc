// Integers, floating point numbers, durations and sizes.
#include <array>
#include <bit>
#include <cmath>
#include <fmt/format.h>
#include <limits>

#include "base/strings.h"
#include "json/field_bounds.h"
#include "json/field_types.h"

namespace llm::json {
std::string to_text(Duration duration) {
  if (duration.never()) return "-1";
  constexpr std::array<std::pair<std::int64_t, std::string_view>, 4> kUnits{
      {{3'600'000, "h"}, {60'000, "m"}, {1000, "s"}, {1, "ms"}}};
  std::string out;
  std::int64_t rest = duration.ms;
  for (const auto& [size, unit] : kUnits) {
    if (rest >= size) out += fmt::format("{}{}", rest / size, unit);
    rest %= size;
  }
  return out.empty() ? "0s" : out;
}

std::string to_text(ByteSize size) {
  constexpr std::array<std::string_view, 5> kUnits{"", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  std::uint64_t count = size.bytes;
  while (count != 0 && count % 1024 == 0 && unit + 1 < kUnits.size()) {
    count /= 1024;
    ++unit;
  }
  return fmt::format("{}{}", count, kUnits[unit]);
}

namespace detail {
namespace {

class IntegerType final : public Type {
 public:
  IntegerType(std::size_t bytes, bool is_signed) : bytes_(bytes), signed_(is_signed) {
    const std::size_t bits = bytes * 8;
    most_ = ~std::uint64_t{0} >> (64 - bits + (is_signed ? 1 : 0));
    least_ = is_signed ? -static_cast<std::int64_t>(most_) - 1 : 0;
  }
  Kind kind() const override { return Kind::kInteger; }

  Result<void> decode(const value& in, void* out, const FieldOptions& field, const Path& at,
                      const DecodeOptions&) const override {
    if (!in.is_number()) return mismatch(expectation(field, false), in, at, field);
    const auto integer = integer_of(in);
    const bool fits =
        integer && (integer->negative ? std::bit_cast<std::int64_t>(integer->bits) >= least_ : integer->bits <= most_);
    if (!fits || !within(number_of(in), field)) {
      const bool whole = number_of(in) == std::floor(number_of(in));
      return mismatch(expectation(field, whole && !fits), in, at, field);
    }
    store(out, integer->bits);
    return {};
  }
  bool encode(const void* in, value& out, const FieldOptions&, const EncodeOptions&) const override {
    if (signed_) {
      out = load_signed(in);
    } else {
      out = load_unsigned(in);
    }
    return true;
  }
  object schema(const FieldOptions& field, const SchemaOptions&) const override {
    object out{{"type", "integer"}};
    add_bounds(out, limited(field, false));
    return out;
  }
  std::string name() const override { return "integer"; }
  std::string bounds(const FieldOptions& field) const override {
    return short_bounds(field.maximum ? limited(field, false) : field, print_number);
  }

 private:
  // The field's own bounds, and where it has none, those of the C++ type.
  FieldOptions limited(FieldOptions field, bool by_type) const {
    if (!field.minimum && !field.exclusive_minimum && (by_type || !signed_))
      field.minimum = static_cast<double>(least_);
    if (!field.maximum && by_type) field.maximum = static_cast<double>(most_);
    return field;
  }
  std::string expectation(const FieldOptions& field, bool does_not_fit) const {
    if (does_not_fit && bytes_ == 8 && !field.maximum) {
      const std::string least = print_number(field.minimum.value_or(0));
      return signed_ && !field.minimum ? fmt::format("an integer between {} and {}", least_, most_)
                                       : fmt::format("an integer between {} and {}", least, most_);
    }
    return with_bounds("an integer", limited(field, does_not_fit), print_number);
  }
  void store(void* out, std::uint64_t bits) const {
    switch (bytes_) {
      case 1:
        *static_cast<std::uint8_t*>(out) = static_cast<std::uint8_t>(bits);
        return;
      case 2:
        *static_cast<std::uint16_t*>(out) = static_cast<std::uint16_t>(bits);
        return;
      case 4:
        *static_cast<std::uint32_t*>(out) = static_cast<std::uint32_t>(bits);
        return;
      default:
        *static_cast<std::uint64_t*>(out) = bits;
    }
  }
  std::uint64_t load_unsigned(const void* in) const {
    switch (bytes_) {
      case 1:
        return *static_cast<const std::uint8_t*>(in);
      case 2:
        return *static_cast<const std::uint16_t*>(in);
      case 4:
        return *static_cast<const std::uint32_t*>(in);
      default:
        return *static_cast<const std::uint64_t*>(in);
    }
  }
  std::int64_t load_signed(const void* in) const {
    const auto shift = static_cast<int>(64 - bytes_ * 8);
    return std::bit_cast<std::int64_t>(load_unsigned(in) << shift) >> shift;  // extends the sign
  }

  std::size_t bytes_;
  bool signed_;
  std::uint64_t most_;
  std::int64_t least_;
};

template <class Number>
class FloatingType final : public Type {
 public:
  Kind kind() const override { return Kind::kNumber; }
  Result<void> decode(const value& in, void* out, const FieldOptions& field, const Path& at,
                      const DecodeOptions&) const override {
    const double most = static_cast<double>(std::numeric_limits<Number>::max());
    if (!in.is_number() || !within(number_of(in), field) || !(std::abs(number_of(in)) <= most)) {
      return mismatch(with_bounds("a number", field, print_number), in, at, field);
    }
    *static_cast<Number*>(out) = static_cast<Number>(number_of(in));
    return {};
  }
  bool encode(const void* in, value& out, const FieldOptions&, const EncodeOptions&) const override {
    const auto number = static_cast<double>(*static_cast<const Number*>(in));
    if (!std::isfinite(number)) return false;  // JSON has no word for it
    out = number;
    return true;
  }
  object schema(const FieldOptions& field, const SchemaOptions&) const override {
    object out{{"type", "number"}};
    add_bounds(out, field);
    return out;
  }
  std::string name() const override { return "number"; }
  std::string bounds(const FieldOptions& field) const override { return short_bounds(field, print_number); }
};

class DurationType final : public Type {
 public:
  Kind kind() const override { return Kind::kDuration; }
  Result<void> decode(const value& in, void* out, const FieldOptions& field, const Path& at,
                      const DecodeOptions&) const override {
    const auto ms = milliseconds(in);
    if (!ms || !within(static_cast<double>(*ms), field)) {
      const bool may_be_never = within(Duration::kNever, field);
      return mismatch(with_bounds("a duration", field, print_duration) +
                          " (such as \"5m\", \"250ms\" or a number of seconds" +
                          (may_be_never ? "; -1 means never)" : ")"),
                      in, at, field, true);
    }
    static_cast<Duration*>(out)->ms = *ms;
    return {};
  }
  bool encode(const void* in, value& out, const FieldOptions&, const EncodeOptions&) const override {
    const auto duration = *static_cast<const Duration*>(in);
    if (duration.never()) {
      out = -1;
    } else {
      out = to_text(duration);
    }
    return true;
  }
  object schema(const FieldOptions& field, const SchemaOptions&) const override {
    return {{"anyOf", array{object{{"type", "string"}, {"pattern", R"(^(-1|([0-9.]+(ms|s|m|h|d)?)+)$)"}},
                            object{{"type", "number"}, {"minimum", within(Duration::kNever, field) ? -1 : 0}}}}};
  }
  std::string name() const override { return "duration"; }
  std::string bounds(const FieldOptions& field) const override { return short_bounds(field, print_duration); }

 private:
  static std::optional<std::int64_t> milliseconds(const value& in) {
    if (in.is_string()) {
      const std::string_view text = in.get_string();
      const bool plain = text.find_first_not_of("0123456789.msdh ") == std::string_view::npos || text == "-1";
      return plain ? parse_duration_ms(text) : std::nullopt;
    }
    if (!in.is_number()) return std::nullopt;
    const double seconds = number_of(in);
    if (seconds == -1) return Duration::kNever;
    if (seconds < 0 || seconds > 9e12) return std::nullopt;
    return std::llround(seconds * 1000);
  }
};

class ByteSizeType final : public Type {
 public:
  Kind kind() const override { return Kind::kByteSize; }
  Result<void> decode(const value& in, void* out, const FieldOptions& field, const Path& at,
                      const DecodeOptions&) const override {
    std::optional<std::uint64_t> bytes;
    if (in.is_string()) bytes = parse_bytes(in.get_string());
    if (const auto integer = integer_of(in); integer && !integer->negative) bytes = integer->bits;
    if (!bytes || !within(static_cast<double>(*bytes), field)) {
      return mismatch(with_bounds("a size", field, print_bytes) + " (such as \"512MiB\" or a number of bytes)", in, at,
                      field, true);
    }
    static_cast<ByteSize*>(out)->bytes = *bytes;
    return {};
  }
  bool encode(const void* in, value& out, const FieldOptions&, const EncodeOptions&) const override {
    const auto size = *static_cast<const ByteSize*>(in);
    if (size.bytes != 0 && size.bytes % 1024 == 0) {
      out = to_text(size);
    } else {
      out = size.bytes;
    }
    return true;
  }
  object schema(const FieldOptions& field, const SchemaOptions&) const override {
    object number{{"type", "integer"}, {"minimum", 0}};
    add_bounds(number, field);
    return {
        {"anyOf", array{object{{"type", "string"}, {"pattern", "^[0-9.]+ *([kKmMgGtT]([iI]?[bB])?|[bB])?$"}}, number}}};
  }
  std::string name() const override { return "size"; }
  std::string bounds(const FieldOptions& field) const override { return short_bounds(field, print_bytes); }
};

template <class Described>
const Type& instance() {
  static const Described type;
  return type;
}

}  // namespace

const Type& double_type() {
  return instance<FloatingType<double>>();
}
const Type& float_type() {
  return instance<FloatingType<float>>();
}
const Type& duration_type() {
  return instance<DurationType>();
}
const Type& byte_size_type() {
  return instance<ByteSizeType>();
}

const Type& integer_type(std::size_t bytes, bool is_signed) {
  static const std::array<IntegerType, 4> signed_types{IntegerType(1, true), IntegerType(2, true), IntegerType(4, true),
                                                       IntegerType(8, true)};
  static const std::array<IntegerType, 4> unsigned_types{IntegerType(1, false), IntegerType(2, false),
                                                         IntegerType(4, false), IntegerType(8, false)};
  const auto index = static_cast<std::size_t>(std::countr_zero(bytes));
  return is_signed ? signed_types[index] : unsigned_types[index];
}

}  // namespace detail

}  // namespace llm::json
