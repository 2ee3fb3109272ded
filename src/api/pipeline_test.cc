// What every request goes through, with handlers of the test's own.
#include "api/pipeline.h"

#include <gmock/gmock.h>

#include "api/api_under_test.h"
#include "api/event_stream.h"

namespace llm::api {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Task<Result<void>> echo(Call& call) {
  co_return co_await call.exchange.respond(200, "application/json", json::write(call.body));
}
Task<Result<void>> name(Call& call) {
  co_return co_await call.exchange.respond(200, "text/plain", call.name + "|" + std::string(call.query));
}
Task<Result<void>> refuse(Call&) {
  co_return fail(Error{ErrorCode::kOverloaded, "busy", {}, {}, 9});
}
Task<Result<void>> break_stream(Call& call) {
  EventStream events(call.exchange);
  (void)co_await events.send(json::object{{"text", "a"}});
  co_return fail(ErrorCode::kEngineFailed, "it crashed");
}
Task<Result<void>> nothing(Call&) {
  co_return Result<void>();
}

RouteTable routes() {
  return RouteTable({{"POST", "/echo", access::Permission::kPublic, Body::kJson, echo, ""},
                     {"GET", "/name/{name}", access::Permission::kPublic, Body::kNone, name, ""},
                     {"GET", "/refuse", access::Permission::kPublic, Body::kNone, refuse, ""},
                     {"GET", "/break", access::Permission::kPublic, Body::kNone, break_stream, ""},
                     {"GET", "/nothing", access::Permission::kPublic, Body::kNone, nothing, ""}});
}

struct Case {
  std::string head;
  std::string body;
  std::string status;
  std::string says;  // in the whole answer
};

TEST(Pipeline, Table) {
  const std::vector<Case> cases{
      {"GET /name/a%2Fb?x=%31 HTTP/1.1\r\nHost: localhost", "", "200", "a/b|x=%31"},
      {"GET /name/a HTTP/1.1\r\nHost: 127.0.0.1:10833\r\nOrigin: http://localhost:3000", "", "200", "a|"},
      {"GET /name/a HTTP/1.1\r\nHost: evil.example", "", "403", "server.allowed_hosts"},
      {"GET /gone HTTP/1.1\r\nHost: evil.example", "", "403", "server.allowed_hosts"},
      {"GET /name/a HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example", "", "403", "server.allowed_origins"},
      {"GET /gone HTTP/1.1\r\nHost: localhost", "", "404", "there is nothing at /gone"},
      {"PUT /echo HTTP/1.1\r\nHost: localhost", "", "405", "Allow: POST\r\n"},
      {"POST /name/a HTTP/1.1\r\nHost: localhost", "", "405", "Allow: GET, HEAD\r\n"},
      {"GET /a/../b HTTP/1.1\r\nHost: localhost", "", "400", "dot segments"},
      {"GET /name/%00 HTTP/1.1\r\nHost: localhost", "", "400", "control byte"},
      {"GET /name/% HTTP/1.1\r\nHost: localhost", "", "400", "percent-encoding"},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json", R"({"a":1})", "200", R"({"a":1})"},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: Application/JSON; charset=utf-8", R"({"a":1})", "200",
       "a"},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/merge-patch+json", "{}", "200", "{}"},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0", "", "200", "{}"},
      {"POST /echo HTTP/1.1\r\nHost: localhost", "{}", "415", "Content-Type: application/json"},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain", "{}", "415", "text/plain"},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded", "a=1", "415",
       "form"},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Encoding: gzip", "{}",
       "415", "gzip"},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json", "{\n\"a\":}", "400", "line 2"},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json", "[1]", "400",
       "expected a JSON object"},
      {"GET /refuse HTTP/1.1\r\nHost: localhost", "", "503", "Retry-After: 9\r\n"},
      {"GET /nothing HTTP/1.1\r\nHost: localhost", "", "500", "not answered"},
  };
  ApiUnderTest t(routes());
  auto body = [&]() -> Task<void> {
    for (const auto& one : cases) {
      const auto answer = co_await t.ask(one.head, one.body);
      EXPECT_EQ(status_of(answer), one.status) << one.head;
      EXPECT_THAT(answer, HasSubstr(one.says)) << one.head;
      if (one.status[0] == '2' || one.head.starts_with("GET /nothing")) continue;
      const auto error = error_of(answer);
      EXPECT_TRUE(error.contains("message") && error.contains("type") && error.contains("code")) << answer;
      EXPECT_EQ(std::string(json::string_or(error, "request_id")), field_of(answer, "X-Request-Id"));
    }
  };
  t.run(body());
}

TEST(Pipeline, RequestIds) {
  ApiUnderTest t(routes());
  auto body = [&]() -> Task<void> {
    for (const auto& [given, kept] : std::vector<std::pair<std::string, bool>>{{"abc-1_2.3:4", true},
                                                                               {std::string(128, 'a'), true},
                                                                               {std::string(129, 'a'), false},
                                                                               {"a b", false},
                                                                               {"a\"b", false},
                                                                               {"<script>", false}}) {
      const auto answer = co_await t.ask("GET /name/a HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: " + given);
      EXPECT_EQ(field_of(answer, "X-Request-Id") == given, kept) << given;
      EXPECT_THAT(field_of(answer, "X-Request-Id"), Not(::testing::IsEmpty()));
    }
    const auto made = co_await t.get("/name/a");
    EXPECT_THAT(field_of(made, "X-Request-Id"), ::testing::StartsWith("req_"));
  };
  t.run(body());
}

TEST(Pipeline, HeadIsGetWithoutTheBody) {
  ApiUnderTest t(routes());
  auto body = [&]() -> Task<void> {
    const auto get = co_await t.get("/name/abc");
    const auto head = co_await t.ask("HEAD /name/abc HTTP/1.1\r\nHost: localhost");
    EXPECT_EQ(status_of(head), "200");
    EXPECT_EQ(body_of(head), "");
    EXPECT_EQ(field_of(head, "Content-Length"), field_of(get, "Content-Length"));
    const auto refused = co_await t.ask("HEAD /refuse HTTP/1.1\r\nHost: localhost");
    EXPECT_EQ(status_of(refused), "503");
    EXPECT_EQ(body_of(refused), "");
  };
  t.run(body());
}

TEST(Pipeline, AnErrorAfterTheStreamBeganIsItsLastEvent) {
  ApiUnderTest t(routes());
  auto body = [&]() -> Task<void> {
    const auto answer = co_await t.get("/break");
    EXPECT_EQ(status_of(answer), "200");
    EXPECT_THAT(answer, AllOf(HasSubstr("data: {\"text\":\"a\"}\n\n"), HasSubstr("data: {\"error\":{"),
                              HasSubstr("it crashed"), Not(HasSubstr("[DONE]"))));
    EXPECT_TRUE(answer.ends_with("0\r\n\r\n"));
  };
  t.run(body());
}

TEST(Pipeline, CountsByRouteAndLogsFailures) {
  ApiUnderTest t(routes());
  auto body = [&]() -> Task<void> {
    (void)co_await t.get("/name/secret-model");
    (void)co_await t.get("/nowhere/at-all");
    (void)co_await t.get("/refuse");
    const auto page = t.back.metrics.render();
    EXPECT_THAT(page, HasSubstr(R"(llm_mcp_http_requests_total{method="GET",route="/name/{name}",status="200"} 1)"));
    EXPECT_THAT(page, HasSubstr(R"(route="unknown",status="404"} 1)"));
    EXPECT_THAT(page, Not(HasSubstr("at-all")));
    EXPECT_TRUE(t.back.log.contains(R"("route":"/refuse","status":503)"));
  };
  t.run(body());
}

}  // namespace
}  // namespace llm::api
