// Who asks and what they may, over the real routes.
#include "api/middleware/authentication.h"

#include <gmock/gmock.h>

#include "api/access_under_test.h"

namespace llm::api {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Authentication, EveryWayToShowAKey) {
  ProtectedApi t;
  const auto [key, id] = t.make_key("user");
  auto body = [&]() -> Task<void> {
    const std::string start = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n";
    struct Case {
      std::string fields;
      std::string status;
    };
    const std::vector<Case> cases{
        {"Authorization: Bearer " + key, "200"},
        {"authorization: bearer " + key, "200"},
        {"x-api-key: " + key, "200"},
        {"api-key: " + key, "200"},
        {"Authorization: Bearer " + key + "\r\nx-api-key: " + key, "200"},
        {"Authorization: Basic " + key, "401"},
        {"Authorization: " + key, "401"},
        {"Authorization: Bearer", "401"},
        {"Authorization: Bearer " + key + "x", "401"},
        {"Authorization: Bearer " + key + "\r\nAuthorization: Bearer other", "401"},
        {"Authorization: Bearer " + key + "\r\nx-api-key: other", "401"},
        {"x-api-key: " + key + "\r\napi-key: other", "401"},
        {"x-api-key: other\r\nx-api-key: " + key, "401"},
        {"X-Nothing: a", "401"},
        // Only a WebSocket handshake may carry it there.
        {"Sec-WebSocket-Protocol: llm-mcp, bearer." + key, "401"},
    };
    for (const auto& one : cases) {
      const auto answer = co_await t.api.ask(start + one.fields);
      EXPECT_EQ(status_of(answer), one.status) << one.fields;
      EXPECT_THAT(answer, Not(HasSubstr(key))) << one.fields;
    }
  };
  t.api.run(body());
}

TEST(Authentication, AChallengeSaysWhatIsWrong) {
  ProtectedApi t;
  const auto [viewer, id] = t.make_key("viewer");
  auto body = [&]() -> Task<void> {
    const auto nothing = co_await t.ask("GET", "/v1/models", "");
    EXPECT_EQ(status_of(nothing), "401");
    EXPECT_EQ(field_of(nothing, "WWW-Authenticate"), R"(Bearer realm="llm-mcp")");
    EXPECT_EQ(json::string_or(error_of(nothing), "type"), "authentication_error");
    const auto wrong = co_await t.ask("GET", "/v1/models", "llm_wrong");
    EXPECT_EQ(field_of(wrong, "WWW-Authenticate"), R"(Bearer realm="llm-mcp", error="invalid_token")");
    const auto weak = co_await t.ask("POST", "/v1/embeddings", viewer, R"({"model":"m","input":"a"})");
    EXPECT_EQ(status_of(weak), "403");
    EXPECT_EQ(json::string_or(error_of(weak), "permission"), "generate");
    EXPECT_THAT(field_of(weak, "WWW-Authenticate"), HasSubstr(R"(error="insufficient_scope")"));
  };
  t.api.run(body());
}

// RFC 9728 section 5.1, and what MCP makes of it.
TEST(Authentication, McpClientsLearnWhereToGetATokenFor) {
  auto routes =
      make_routes({{"POST", "/mcp", access::Permission::kAuthenticated, Body::kNone,
                    [](Call& call) { return call.exchange.respond(200, "text/plain", call.principal.id); }, "a"}});
  ProtectedApi t({}, {}, std::move(routes));
  t.api.services.authorization_servers = {"https://login.example"};
  auto body = [&]() -> Task<void> {
    const auto answer = co_await t.api.ask("POST /mcp HTTP/1.1\r\nHost: localhost:10833");
    EXPECT_EQ(status_of(answer), "401");
    EXPECT_EQ(field_of(answer, "WWW-Authenticate"),
              R"(Bearer realm="llm-mcp", )"
              R"(resource_metadata="http://localhost:10833/.well-known/oauth-protected-resource/mcp", )"
              R"(scope="generate models:read")");
    const auto metadata =
        body_of(co_await t.api.ask("GET /.well-known/oauth-protected-resource/mcp HTTP/1.1\r\nHost: localhost:10833"));
    const auto parsed = json::parse(metadata).value();
    EXPECT_EQ(parsed.at("resource"), "http://localhost:10833/mcp");
    EXPECT_EQ(json::write(parsed.at("authorization_servers")), R"(["https://login.example"])");
    EXPECT_EQ(json::write(parsed.at("bearer_methods_supported")), R"(["header"])");
    EXPECT_THAT(json::write(parsed.at("scopes_supported")), AllOf(HasSubstr("generate"), Not(HasSubstr("public"))));
    t.api.peer.tls = true;
    const auto root =
        body_of(co_await t.api.ask("GET /.well-known/oauth-protected-resource HTTP/1.1\r\nHost: localhost"));
    EXPECT_THAT(root, HasSubstr(R"("resource":"https://localhost")"));
    t.api.services.public_url = "https://llm.example";
    EXPECT_THAT(co_await t.api.ask("POST /mcp HTTP/1.1\r\nHost: localhost"),
                HasSubstr(R"(resource_metadata="https://llm.example/.well-known)"));
  };
  t.api.run(body());
}

// Nobody gets anywhere without a token, except where the table says so; and a route that is not there is no secret.
TEST(Authentication, DenyIsTheDefault) {
  ProtectedApi t;
  auto body = [&]() -> Task<void> {
    for (const auto& route : make_routes().routes()) {
      std::string target(route.pattern);
      if (const auto at = target.find("{name}"); at != std::string::npos) target.replace(at, 6, "x");
      const auto answer = co_await t.ask(std::string(route.method), target, "", route.body == Body::kJson ? "{}" : "");
      if (route.permission == access::Permission::kPublic) {
        EXPECT_NE(status_of(answer), "401") << route.pattern;
      } else {
        EXPECT_EQ(status_of(answer), "401") << route.pattern;
      }
    }
    EXPECT_EQ(status_of(co_await t.ask("GET", "/nowhere", "")), "404");
  };
  t.api.run(body());
}

// The route that is served is the one that was checked, however its path is written (LiteLLM CVE-2026-49468, vLLM
// CVE-2026-48746): no spelling gets a caller without a token into a protected route.
TEST(Authentication, NoSpellingOfAPathIsAWayAround) {
  ProtectedApi t;
  const std::vector<std::string> heads{
      "GET /metrics HTTP/1.1\r\nHost: localhost/livez?",
      "GET /metrics HTTP/1.1\r\nHost: localhost?",
      "GET /metrics HTTP/1.1\r\nHost: localhost#",
      "GET http://localhost/metrics HTTP/1.1\r\nHost: localhost",
      "GET http://localhost/livez/../metrics HTTP/1.1\r\nHost: localhost",
      "GET http://evil/livez HTTP/1.1\r\nHost: localhost",
      "GET //metrics HTTP/1.1\r\nHost: localhost",
      "GET /livez//metrics HTTP/1.1\r\nHost: localhost",
      "GET /livez;/metrics HTTP/1.1\r\nHost: localhost",
      "GET /metrics;x HTTP/1.1\r\nHost: localhost",
      "GET /livez%2f..%2fmetrics HTTP/1.1\r\nHost: localhost",
      "GET /livez/%2e%2e/metrics HTTP/1.1\r\nHost: localhost",
      "GET /%6detrics HTTP/1.1\r\nHost: localhost",
      "GET /metrics%3flivez HTTP/1.1\r\nHost: localhost",
      "GET /metrics?/livez HTTP/1.1\r\nHost: localhost",
      "GET /metrics# HTTP/1.1\r\nHost: localhost",
      "GET /METRICS HTTP/1.1\r\nHost: localhost",
      "GET /metrics/ HTTP/1.1\r\nHost: localhost",
      "HEAD /metrics HTTP/1.1\r\nHost: localhost",
      "GET /metrics HTTP/1.0",
      "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Original-URL: /metrics\r\nX-Rewrite-URL: /metrics",
      "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Original-URL: /livez",
      "GET /api/v1/models/..%2f..%2f..%2flivez HTTP/1.1\r\nHost: localhost",
      "GET /api/v1/models/x%2f..%2f..%2f..%2flivez HTTP/1.1\r\nHost: localhost",
  };
  auto body = [&]() -> Task<void> {
    for (const auto& head : heads) {
      const auto answer = co_await t.api.ask(head);
      EXPECT_THAT(answer, Not(HasSubstr("llm_mcp_http_requests_total"))) << head;
      if (status_of(answer) == "200") {
        EXPECT_EQ(body_of(answer), R"({"status":"ok"})") << head;
      }
    }
    // The same target in another form is the same route with the same check.
    EXPECT_EQ(status_of(co_await t.api.ask(heads[3])), "401");
    EXPECT_EQ(status_of(co_await t.api.ask("GET /%6detrics HTTP/1.1\r\nHost: localhost")), "401");
  };
  t.api.run(body());
}

TEST(Authentication, WhoIsLocal) {
  access::AccessSettings settings;
  settings.local_user = access::LocalUser::kOn;
  ProtectedApi t(settings);
  auto body = [&]() -> Task<void> {
    const std::string start = "GET /v1/models HTTP/1.1\r\nHost: localhost";
    EXPECT_EQ(status_of(co_await t.api.ask(start)), "200");
    for (const std::string& hop : {std::string("Forwarded: for=10.0.0.1"), std::string("X-Forwarded-For: 10.0.0.1"),
                                   std::string("Via: 1.1 proxy"), std::string("X-Real-IP: 10.0.0.1"),
                                   std::string("X-Forwarded-Host: a"), std::string("X-Forwarded-Proto: https")}) {
      EXPECT_EQ(status_of(co_await t.api.ask(start + "\r\n" + hop)), "401") << hop;
    }
    EXPECT_EQ(status_of(co_await t.api.ask(start + "\r\nAuthorization: Bearer llm_wrong")), "401");
    t.api.peer.address = "10.1.2.3:4000";
    EXPECT_EQ(status_of(co_await t.api.ask(start)), "401");
    t.api.peer = {.unix_socket = true, .address = "unix"};
    EXPECT_EQ(status_of(co_await t.api.ask(start)), "200");
  };
  t.api.run(body());
}

TEST(Authentication, FailuresAreAuditedWithoutWhatWasShown) {
  ProtectedApi t;
  const auto [viewer, viewer_id] = t.make_key("viewer");
  auto body = [&]() -> Task<void> {
    (void)co_await t.ask("GET", "/v1/models", "llm_0123456789abcdef_thisisawrongsecretthatnobodyeverhadatall");
    (void)co_await t.ask("GET", "/v1/models", "' OR 1=1 --");
    (void)co_await t.ask("POST", "/api/v1/projects", viewer, "{}");
    (void)co_await t.ask("GET", "/v1/models", "");  // shows nothing: no attempt
  };
  t.api.run(body());
  const auto trail = t.audit_trail();
  EXPECT_THAT(trail, AllOf(HasSubstr("auth.failed"), HasSubstr("access.denied"), HasSubstr("key:" + viewer_id),
                           HasSubstr("GET /v1/models"), HasSubstr("127.0.0.1")));
  EXPECT_THAT(trail, AllOf(Not(HasSubstr("thisisawrongsecret")), Not(HasSubstr("OR 1=1")), Not(HasSubstr(viewer))));
  EXPECT_EQ(trail.find("auth.failed", trail.find("auth.failed", trail.find("auth.failed") + 1) + 1), std::string::npos)
      << "two attempts, two records";
}

TEST(Authentication, TooManyWrongKeysFromOneAddress) {
  access::AccessSettings settings;
  settings.login.failures = 3;
  ProtectedApi t(settings);
  const auto [key, id] = t.make_key("user");
  auto body = [&]() -> Task<void> {
    for (int i = 0; i < 3; ++i) EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models", "llm_wrong")), "401");
    const auto blocked = co_await t.ask("GET", "/v1/models", key);
    EXPECT_EQ(status_of(blocked), "429");
    EXPECT_THAT(field_of(blocked, "Retry-After"), Not(StartsWith("0")));
    t.api.peer.address = "10.1.2.3:4000";
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models", key)), "200") << "others are not held up";
  };
  t.api.run(body());
}

TEST(SecurityHeaders, OnEveryAnswer) {
  ProtectedApi t;
  const auto [key, id] = t.make_key("user");
  auto body = [&]() -> Task<void> {
    std::vector<std::string> answers;
    for (const std::string target : {"/", "/nowhere", "/v1/models"})
      answers.push_back(co_await t.ask("GET", target, ""));
    answers.push_back(co_await t.ask("GET", "/v1/models", key));
    answers.push_back(co_await t.api.ask("GET / HTTP/1.1\r\nHost: evil.example"));
    for (const auto& answer : answers) {
      EXPECT_EQ(field_of(answer, "X-Content-Type-Options"), "nosniff");
      EXPECT_EQ(field_of(answer, "Content-Security-Policy"), "default-src 'none'; frame-ancestors 'none'");
      EXPECT_EQ(field_of(answer, "Referrer-Policy"), "no-referrer");
      EXPECT_EQ(field_of(answer, "Cross-Origin-Resource-Policy"), "same-origin");
      EXPECT_EQ(field_of(answer, "Strict-Transport-Security"), "");
    }
    EXPECT_EQ(field_of(co_await t.ask("GET", "/", ""), "Cache-Control"), "");
    EXPECT_EQ(field_of(co_await t.ask("GET", "/v1/models", key), "Cache-Control"), "no-store");
    EXPECT_EQ(field_of(co_await t.ask("GET", "/v1/models", ""), "Cache-Control"), "no-store");
    EXPECT_EQ(field_of(co_await t.ask("POST", "/api/v1/auth/token", "", "{}"), "Cache-Control"), "no-store");
    t.api.peer.tls = true;
    EXPECT_EQ(field_of(co_await t.ask("GET", "/", ""), "Strict-Transport-Security"), "max-age=31536000");
  };
  t.api.run(body());
}

}  // namespace
}  // namespace llm::api
