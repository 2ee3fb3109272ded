#include "json/json.h"

#include <cmath>
#include <gtest/gtest.h>
#include <string>

namespace llm::json {
namespace {

std::string error_of(std::string_view text, std::size_t max_depth = 64) {
  const auto parsed = parse(text, {.max_depth = max_depth});
  if (parsed) return "accepted: " + write(*parsed);
  EXPECT_EQ(parsed.error().code, ErrorCode::kMalformed);
  return parsed.error().message;
}

std::string nested(std::size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(Json, KeepsOrderUnknownFieldsAndNumbers) {
  const std::string text =
      R"({"z":1,"a":{"n":null,"t":true},"s":"\u00e9\ud83d\ude00","u":18446744073709551615,"i":-5})";
  const auto parsed = parse(text);
  ASSERT_TRUE(parsed) << to_string(parsed.error());
  EXPECT_EQ(write(*parsed),
            "{\"z\":1,\"a\":{\"n\":null,\"t\":true},\"s\":\"\xC3\xA9\xF0\x9F\x98\x80\","
            "\"u\":18446744073709551615,\"i\":-5}");
}

TEST(Json, DoublesSurviveAWrite) {
  for (const double number : {0.1, 0.7, 1e-300, 123456.789, 5e22, -0.25}) {
    const auto again = parse(write(value(number)));
    ASSERT_TRUE(again);
    EXPECT_EQ(again->as_double(), number);
  }
}

TEST(Json, ZerosWithHugeExponentsAreZeros) {
  EXPECT_EQ(write(parse("[0e400,-0e999,0.0e500,1e-400]").value()), "[0.0,0.0,0.0,0.0]");
}

TEST(Json, TheLastOfDuplicateKeysCounts) {
  EXPECT_EQ(write(parse(R"({"a":1,"a":2})").value()), R"({"a":2})");
}

TEST(Json, ErrorsNameThePlaceAndTheReason) {
  EXPECT_EQ(error_of(""), "invalid JSON at line 1, column 1: the text is empty");
  EXPECT_EQ(error_of("{\"a\":1,}"), "invalid JSON at line 1, column 8: unexpected '}'");
  EXPECT_EQ(error_of("{\n  \"é\": x}"), "invalid JSON at line 2, column 8: unexpected 'x'");
  EXPECT_EQ(error_of("[1,2"), "invalid JSON at line 1, column 5: the text ends too early");
  EXPECT_EQ(error_of("{} {}"), "invalid JSON at line 1, column 4: text after the end of the value");
  EXPECT_EQ(error_of("\xEF\xBB\xBF{}"), "invalid JSON at line 1, column 1: remove the byte order mark");
  EXPECT_EQ(error_of("[1] // no"), "invalid JSON at line 1, column 5: text after the end of the value");
  EXPECT_EQ(
      error_of(R"(["\ud800"])"),
      "invalid JSON at line 1, column 9: half of a surrogate pair; write both \\u escapes or the character itself");
  EXPECT_EQ(error_of(R"(["\u12g4"])"), "invalid JSON at line 1, column 7: expected four hexadecimal digits after \\u");
  EXPECT_EQ(
      error_of("[\"a\nb\"]"),
      "invalid JSON at line 1, column 4: unexpected control character U+000A; inside a string write it as \\u000a");
  EXPECT_EQ(
      error_of(std::string_view("[\0]", 3)),
      "invalid JSON at line 1, column 2: unexpected control character U+0000; inside a string write it as \\u0000");
  EXPECT_EQ(error_of("[\"\xC3\x28\"]"), "invalid JSON at line 1, column 3: this is not UTF-8");
  EXPECT_EQ(error_of("[\"ok\", \"\xED\xA0\x80\"]"), "invalid JSON at line 1, column 9: this is not UTF-8");
  EXPECT_EQ(error_of("[\"1e999\", 1e999]"),
            "invalid JSON at line 1, column 11: this number is too large (the most is about 1.8e308)");
  const auto parsed = parse("[\n1,\n ]");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().details, (std::vector<ErrorDetail>{{"line", 3}, {"column", 2}}));
}

TEST(Json, IsStrict) {
  for (const std::string_view text : {"01", "+1", ".5", "1.", "NaN", "Infinity", "'a'", "{a:1}", "[1,]", "tru",
                                      "\"\\x\"", "[1 2]", "{\"a\" 1}", "\x0c[]", "-", "1e", "\"\t\"", "[1]]"}) {
    EXPECT_FALSE(parse(text)) << text;
  }
}

TEST(Json, DepthHasALimit) {
  EXPECT_TRUE(parse(nested(64)));
  EXPECT_EQ(error_of(nested(65)), "invalid JSON at line 1, column 65: nested deeper than 64 levels");
  EXPECT_TRUE(parse(nested(3), {.max_depth = 3}));
  EXPECT_FALSE(parse(nested(4), {.max_depth = 3}));
  EXPECT_FALSE(parse(std::string(1'000'000, '[')));
}

TEST(Json, QuotesWhatMustBeQuoted) {
  std::string out = "x";
  append_quoted(out, std::string_view("a\"\\\n\r\t\x01\0\x1f\x7f é", 13));
  EXPECT_EQ(out, "x\"a\\\"\\\\\\n\\r\\t\\u0001\\u0000\\u001f\x7f é\"");
  out.clear();
  append_quoted(out, "a\xFFz\xE2\x82");
  EXPECT_EQ(out, "\"a\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD\"");
  EXPECT_TRUE(parse(out));
}

TEST(Json, LookupsFallBackOnAbsentAndOnOtherTypes) {
  const object document =
      parse(R"({"s":"x","i":5,"f":5.0,"h":5.5,"u":18446744073709551615,"b":true,"n":null})")->as_object();
  EXPECT_EQ(string_or(document, "s"), "x");
  EXPECT_EQ(string_or(document, "i", "no"), "no");
  EXPECT_EQ(int_or(document, "i"), 5);
  EXPECT_EQ(int_or(document, "f"), 5);
  EXPECT_EQ(int_or(document, "h", -1), -1);
  EXPECT_EQ(int_or(document, "u", -1), -1);
  EXPECT_EQ(int_or(document, "absent", 7), 7);
  EXPECT_TRUE(bool_or(document, "b"));
  EXPECT_TRUE(bool_or(document, "n", true));
  EXPECT_EQ(number_or(document, "h"), 5.5);
  EXPECT_EQ(number_or(document, "i"), 5.0);
  EXPECT_EQ(number_or(document, "s", 2.5), 2.5);
  EXPECT_NE(find(document, "n"), nullptr);
  EXPECT_EQ(find(document, "absent"), nullptr);
}

TEST(Json, PointersEscapeTheirTokens) {
  EXPECT_EQ(pointer_join("", "a"), "/a");
  EXPECT_EQ(pointer_join("/a", "b/c~d"), "/a/b~1c~0d");
  EXPECT_EQ(pointer_join("/a", ""), "/a/");
}

}  // namespace
}  // namespace llm::json
