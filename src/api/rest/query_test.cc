#include "api/rest/query.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace llm::api::rest {
namespace {

TEST(ParseQuery, Table) {
  for (const auto& [given, wanted] : std::vector<std::pair<std::string, std::string>>{
           {"", "{}"},
           {"a=1", R"({"a":"1"})"},
           {"a", R"({"a":""})"},
           {"a=", R"({"a":""})"},
           {"&&a=1&", R"({"a":"1"})"},
           {"a=1&b=2", R"({"a":"1","b":"2"})"},
           {"a=1&a=2&a=3", R"({"a":["1","2","3"]})"},
           {"a=x%20y+z", R"({"a":"x y z"})"},
           {"a%3D=1%262", R"({"a=":"1&2"})"},
           {"a==b=c", R"({"a":"=b=c"})"},
           {"a=%C3%A9", "{\"a\":\"\u00e9\"}"},
       }) {
    const auto parsed = parse_query(given);
    ASSERT_TRUE(parsed) << given;
    EXPECT_EQ(json::write(*parsed), wanted) << given;
  }
  for (const std::string_view bad : {"a=%", "a=%4", "a=%zz", "%=a", "a=%00", "a=%0a", "a=%FF"}) {
    const auto parsed = parse_query(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().code, ErrorCode::kMalformed) << bad;
  }
}

TEST(ParseQuery, AtMostSoMany) {
  std::string query;
  for (int i = 0; i < 64; ++i) query += fmt::format("a{}=1&", i);
  EXPECT_TRUE(parse_query(query));
  EXPECT_FALSE(parse_query(query + "b=1"));
}

}  // namespace
}  // namespace llm::api::rest
