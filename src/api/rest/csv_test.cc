#include "api/rest/csv.h"

#include <array>
#include <gtest/gtest.h>

namespace llm::api::rest {
namespace {

TEST(Csv, QuotesAndDefusesFormulas) {
  const std::array<std::string_view, 2> columns{"a", "b"};
  const auto line = [&](json::value a, json::value b) {
    const std::string text = to_csv({json::object{{"a", std::move(a)}, {"b", std::move(b)}}}, columns);
    EXPECT_TRUE(text.starts_with("a,b\r\n"));
    return text.substr(5);
  };
  EXPECT_EQ(line("x", 1), "x,1\r\n");
  EXPECT_EQ(line(-5, 1.5), "-5,1.5\r\n");
  EXPECT_EQ(line("a,b", "a\"b"), "\"a,b\",\"a\"\"b\"\r\n");
  EXPECT_EQ(line("a\nb", nullptr), "\"a\nb\",\r\n");
  EXPECT_EQ(line("=1+2", "+1"), "'=1+2,'+1\r\n");
  EXPECT_EQ(line("-1", "@SUM(A1)"), "'-1,'@SUM(A1)\r\n");
  EXPECT_EQ(line("\t=1", "\r=1"), "\"'\t=1\",\"'\r=1\"\r\n");
  EXPECT_EQ(line("=HYPERLINK(\"http://x\",\"y\")", true), "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",true\r\n");
  EXPECT_EQ(to_csv({json::object{{"b", 2}}}, columns), "a,b\r\n,2\r\n");
  EXPECT_EQ(to_csv({}, columns), "a,b\r\n");
}

}  // namespace
}  // namespace llm::api::rest
