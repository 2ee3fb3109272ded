#include "api/route_table.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "api/routes.h"

namespace llm::api {
namespace {

Route row(std::string_view method, std::string_view pattern) {
  return {method,
          pattern,
          access::Permission::kPublic,
          Body::kNone,
          [](Call&) -> Task<Result<void>> { co_return Result<void>(); },
          ""};
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

// What each route needs, written down a second time on purpose: a route that is new, or whose permission changes, has
// to be changed here too, by somebody who means it.
TEST(RouteTable, WhatEachRouteNeeds) {
  constexpr std::string_view kWanted = R"(
admin DELETE /api/v1/cache
admin DELETE /api/v1/models/{name}
admin DELETE /api/v1/projects/{name}
admin DELETE /api/v1/roles/{name}
admin DELETE /api/v1/users/{name}
admin PATCH /api/v1/projects/{name}
admin PATCH /api/v1/roles/{name}
admin PATCH /api/v1/users/{name}
admin POST /api/v1/models/gc
admin POST /api/v1/models/import
admin POST /api/v1/models/{name}/export
admin POST /api/v1/models/{name}/remove-version
admin POST /api/v1/projects
admin POST /api/v1/providers/discover
admin POST /api/v1/providers/{name}/delete
admin POST /api/v1/roles
admin POST /api/v1/router/replicas/{name}/drain
admin POST /api/v1/router/replicas/{name}/undrain
admin POST /api/v1/users
audit:read GET /api/v1/audit
authenticated GET /api/v1/auth/me
authenticated POST /api/v1/auth/revoke
engines:read GET /api/v1/cache
engines:read GET /api/v1/engines
engines:read GET /api/v1/engines/{name}
engines:read GET /api/v1/engines/{name}/adapters
engines:read GET /api/v1/engines/{name}/logs
engines:read GET /api/v1/engines/{name}/plan
engines:read GET /api/v1/gpus
engines:read GET /api/v1/providers
engines:read GET /api/v1/providers/health
engines:read GET /api/v1/router/replicas
engines:read GET /api/v1/status
engines:read GET /api/v1/vllm
engines:read GET /v1/gateway/providers
engines:read GET /v1/gateway/providers/health
generate GET /api/v1/ws
generate POST /api/v1/generate
generate POST /api/v1/tokenize
generate POST /v1/chat/completions
generate POST /v1/completions
generate POST /v1/embeddings
generate POST /v1/rerank
keys:read GET /api/v1/keys
keys:read GET /api/v1/keys/{name}
keys:read GET /api/v1/projects
keys:read GET /api/v1/projects/{name}
keys:read GET /api/v1/roles
keys:read GET /api/v1/roles/{name}
keys:read GET /api/v1/users
keys:read GET /api/v1/users/{name}
keys:write DELETE /api/v1/keys/{name}
keys:write PATCH /api/v1/keys/{name}
keys:write POST /api/v1/keys
keys:write POST /api/v1/keys/{name}/rotate
metrics:read GET /api/v1/engines/{name}/metrics
metrics:read GET /metrics
models:read GET /api/v1/aliases
models:read GET /api/v1/models
models:read GET /api/v1/models/{name}
models:read GET /api/v1/models/{name}/versions
models:read GET /api/v1/providers/{name}/models
models:read GET /v1/models
models:read GET /v1/models/{name}
models:write DELETE /api/v1/aliases/{name}
models:write POST /api/v1/engines/{name}/adapters
models:write POST /api/v1/engines/{name}/adapters/unload
models:write POST /api/v1/engines/{name}/sleep
models:write POST /api/v1/engines/{name}/start
models:write POST /api/v1/engines/{name}/stop
models:write POST /api/v1/engines/{name}/wake
models:write POST /api/v1/models/pull
models:write POST /api/v1/models/{name}/load
models:write POST /api/v1/models/{name}/notes
models:write POST /api/v1/models/{name}/promote
models:write POST /api/v1/models/{name}/rollback
models:write POST /api/v1/models/{name}/unload
models:write POST /api/v1/providers/{name}/load
models:write POST /api/v1/providers/{name}/pull
models:write POST /api/v1/providers/{name}/unload
models:write PUT /api/v1/aliases/{name}
public GET /
public GET /.well-known/jwks.json
public GET /.well-known/oauth-protected-resource
public GET /.well-known/oauth-protected-resource/mcp
public GET /health
public GET /livez
public GET /readyz
public POST /api/v1/auth/token
usage:read GET /api/v1/usage
)";
  const auto table = make_routes();
  std::vector<std::string> rows;
  for (const auto& route : table.routes()) {
    rows.push_back(fmt::format("{} {} {}", access::to_string(route.permission), route.method, route.pattern));
  }
  std::ranges::sort(rows);
  EXPECT_EQ(fmt::format("\n{}\n", fmt::join(rows, "\n")), kWanted);
}

// A browser sends these without asking (a CORS-safelisted method and body type), so nothing that changes something may
// take one of them with a body of no declared type.
TEST(RouteTable, WhatChangesSomethingIsNoSimpleRequest) {
  for (const auto& route : make_routes().routes()) {
    if (route.method == "GET") {
      EXPECT_EQ(route.body, Body::kNone) << route.pattern;
    } else if (route.method == "POST") {
      EXPECT_EQ(route.body, Body::kJson) << route.pattern;
    }
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
