#include "api/route_table.h"

#include <gtest/gtest.h>

#include "api/routes.h"

namespace llm::api {
namespace {

Route row(std::string_view method, std::string_view pattern) {
  return {method, pattern, Body::kNone, [](Call&) -> Task<Result<void>> { co_return Result<void>(); }, ""};
}

// "<method> <pattern> [<name>]", "405 <allow>" or "404".
std::string match(const RouteTable& table, std::string_view method, std::string_view path) {
  const auto found = table.match(method, path);
  if (found.route) {
    return std::string(found.route->method) + " " + std::string(found.route->pattern) +
           (found.name.empty() ? "" : " [" + found.name + "]");
  }
  return found.allow.empty() ? "404" : "405 " + found.allow;
}

TEST(RouteTable, FindsTheMostSpecificPattern) {
  const RouteTable table({row("GET", "/m"), row("POST", "/m"), row("GET", "/m/{name}"), row("DELETE", "/m/{name}"),
                          row("POST", "/m/{name}/load"), row("POST", "/m/pull")});
  EXPECT_EQ(match(table, "GET", "/m"), "GET /m");
  EXPECT_EQ(match(table, "HEAD", "/m"), "GET /m");
  EXPECT_EQ(match(table, "POST", "/m"), "POST /m");
  EXPECT_EQ(match(table, "PUT", "/m"), "405 GET, HEAD, POST");
  EXPECT_EQ(match(table, "GET", "/m/a"), "GET /m/{name} [a]");
  EXPECT_EQ(match(table, "GET", "/m/org/a:v1"), "GET /m/{name} [org/a:v1]");
  EXPECT_EQ(match(table, "POST", "/m/org/a/load"), "POST /m/{name}/load [org/a]");
  EXPECT_EQ(match(table, "POST", "/m/load"), "405 DELETE, GET, HEAD");
  EXPECT_EQ(match(table, "POST", "/m/pull"), "POST /m/pull");
  EXPECT_EQ(match(table, "POST", "/m/a"), "405 DELETE, GET, HEAD");
  for (const std::string_view nothing : {"/", "", "/m/", "/M", "/mm", "/x/m"}) {
    EXPECT_EQ(match(table, "GET", nothing), "404") << nothing;
  }
}

TEST(RouteTable, TheRealOneHasItsRoutes) {
  const auto table = make_routes();
  EXPECT_EQ(match(table, "GET", "/"), "GET /");
  EXPECT_EQ(match(table, "POST", "/v1/chat/completions"), "POST /v1/chat/completions");
  EXPECT_EQ(match(table, "GET", "/v1/chat/completions"), "405 POST");
  EXPECT_EQ(match(table, "POST", "/api/v1/models/org/m/unload"), "POST /api/v1/models/{name}/unload [org/m]");
  EXPECT_EQ(match(table, "OPTIONS", "/v1/models"), "405 GET, HEAD");
  for (const auto& route : table.routes()) {
    EXPECT_TRUE(route.pattern.starts_with('/'));
    EXPECT_TRUE(route.handler);
    EXPECT_FALSE(route.summary.empty());
  }
}

TEST(DecodePath, Table) {
  for (const auto& [given, wanted] : std::vector<std::pair<std::string, std::string>>{
           {"/", "/"},
           {"/a/b", "/a/b"},
           {"/a%2Fb", "/a/b"},
           {"/a%2fb", "/a/b"},
           {"/%41", "/A"},
           {"/m%20x", "/m x"},
           {"/%C3%A9", "/\u00e9"},
           {"/a+b", "/a+b"},
           {"/%25", "/%"},
           {"/%2541", "/%41"},
           {"/...", "/..."},
           {"/a..b/.c", "/a..b/.c"},
       }) {
    const auto decoded = decode_path(given);
    ASSERT_TRUE(decoded) << given;
    EXPECT_EQ(*decoded, wanted);
  }
  for (const std::string& bad :
       {std::string("/%"),      std::string("/%4"),  std::string("/a%"),       std::string("/a%4"),
        std::string("/%4x"),    std::string("/%x4"), std::string("/%%34"),     std::string("/%00"),
        std::string("/a%0a"),   std::string("/%7f"), std::string("/%1F"),      std::string("/.."),
        std::string("/a/../b"), std::string("/a/."), std::string("/%2e%2e/b"), std::string("/a%2F..%2Fb"),
        std::string("/a/%2E"),  std::string("/%FF"), std::string("/%C3"),      std::string("/%ED%A0%80"),
        std::string("/%C0%AF")}) {
    const auto decoded = decode_path(bad);
    ASSERT_FALSE(decoded) << bad;
    EXPECT_EQ(decoded.error().code, ErrorCode::kMalformed);
  }
}

}  // namespace
}  // namespace llm::api
