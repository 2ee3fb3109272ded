#include "json/schema_numbers.h"

#include <gtest/gtest.h>
#include <string>

namespace llm::json::rules {
namespace {

Number number(std::string_view text) {
  return Number::of(parse(text).value());
}

TEST(SchemaNumbers, AreComparedExactly) {
  // 2^53 + 1 is no double; 2^63 and 2^64 are.
  EXPECT_LT(number("9007199254740992.0"), number("9007199254740993"));
  EXPECT_LT(number("9223372036854775807"), number("9223372036854775808.0"));
  EXPECT_EQ(number("9223372036854775808"), number("9223372036854775808.0"));
  EXPECT_LT(number("18446744073709551615"), number("18446744073709551616.0"));
  EXPECT_LT(number("-1e300"), number("-9223372036854775808"));
  EXPECT_LT(number("-1.5"), number("-1"));
  EXPECT_LT(number("-2"), number("-1.5"));
  EXPECT_LT(number("-0.5"), number("0"));
  EXPECT_LT(number("0"), number("0.5"));
  EXPECT_EQ(number("-0.0"), number("0"));
  EXPECT_LT(number("0.25"), number("0.5"));
}

TEST(SchemaNumbers, MultiplesAreDecimal) {
  const auto multiple = [](std::string_view n, std::string_view step) {
    return is_multiple(number(n), Decimal::of(number(step)));
  };
  EXPECT_TRUE(multiple("19.99", "0.01"));
  EXPECT_TRUE(multiple("0.0075", "0.0001"));
  EXPECT_FALSE(multiple("0.00751", "0.0001"));
  EXPECT_TRUE(multiple("1e308", "0.5"));
  EXPECT_FALSE(multiple("1e308", "0.123456789"));
  EXPECT_TRUE(multiple("18446744073709551615", "5"));
  EXPECT_FALSE(multiple("18446744073709551614", "5"));
  EXPECT_TRUE(multiple("-7.5", "2.5"));
  EXPECT_FALSE(multiple("1", "1e300"));
  EXPECT_TRUE(multiple("0", "1e300"));
  EXPECT_FALSE(multiple("1e-300", "1"));
}

TEST(SchemaNumbers, IntegersMayHaveAFractionOfZero) {
  EXPECT_TRUE(is_integer(value(1.0)));
  EXPECT_TRUE(is_integer(value(1e300)));
  EXPECT_FALSE(is_integer(value(1.5)));
  EXPECT_FALSE(is_integer(value("1")));
}

TEST(SchemaNumbers, EqualValuesHaveEqualHashes) {
  std::size_t steps = 0;
  const value a = parse(R"({"a":[1,2.0,"x"],"b":{"c":null,"d":true}})").value();
  const value b = parse(R"({"b":{"d":true,"c":null},"a":[1.0,2,"x"]})").value();
  EXPECT_TRUE(equal(a, b, steps));
  EXPECT_EQ(hash(a, steps), hash(b, steps));
  for (const auto* other : {R"({"a":[2.0,1,"x"],"b":{"c":null,"d":true}})", R"({"a":[1,2.0,"x"],"b":{"c":null}})",
                            R"({"a":[1,2.0,"x"],"b":{"c":null,"d":1}})", "[]", "null"}) {
    EXPECT_FALSE(equal(a, parse(other).value(), steps)) << other;
  }
}

TEST(SchemaNumbers, TwinsGiveUpAtTheLimit) {
  std::size_t steps = 0;
  array items;
  for (int i = 0; i < 100; ++i) items.emplace_back(i);
  items.emplace_back(0);
  EXPECT_TRUE(find_twins(items, steps, 1000));
  steps = 0;
  EXPECT_FALSE(find_twins(items, steps, 50));
  EXPECT_GT(steps, 50U);
}

}  // namespace
}  // namespace llm::json::rules
