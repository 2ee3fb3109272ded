#include "mcp/client/http_link.h"

#include <fmt/format.h>
#include <functional>
#include <vector>

#include "mcp/client/client_under_test.h"
#include "net/http_server.h"

namespace llm::mcp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace std::chrono_literals;

// What a server got.
struct Got {
  std::string method;
  json::object body;
  net::Headers headers;
  std::string header(std::string_view name) const { return std::string(headers.get(name).value_or("")); }
};

// A server over HTTP whose handler is the test's, and a client of it.
struct HttpTest : testing::Test {
  using Script = std::function<Task<void>(HttpTest*, net::Exchange*)>;

  HttpTest()
      : fd(net::listen_tcp("127.0.0.1", 0).value()),
        port(net::local_port(fd)),
        server({&loop}, {}, [this](net::Exchange& exchange) { return serve(this, &exchange); }),
        http(loop, {}),
        seen(loop.executor()) {
    server.accept_on(fd);
  }
  ~HttpTest() override {
    run_task(loop, [](HttpTest* t) -> Task<void> {
      if (t->client) co_await t->client->stop();
      t->server.stop_accepting();
      t->server.cancel();
      co_await t->server.drained();
    }(this));
  }

  static Task<void> serve(HttpTest* t, net::Exchange* exchange) {
    co_await exchange->read_body();
    Got got{.method = std::string(exchange->method()), .body = {}, .headers = exchange->headers()};
    if (auto body = json::parse(exchange->body()); body && body->is_object()) got.body = body->get_object();
    t->got.push_back(std::move(got));
    t->seen.notify();
    co_await t->script(t, exchange);
  }

  void make(HttpLinkSettings settings = {}) {
    settings.label = "the server";
    settings.address = *parse_http_address(fmt::format("http://127.0.0.1:{}/mcp?k=v", port));
    auto link = std::make_unique<HttpLink>(loop, http, std::move(settings));
    client = std::make_unique<Client>(loop, std::move(link), ClientSettings{}, log.log(), "the server");
  }
  Result<void> connect(Era hint = Era::kUnknown) {
    Result<void> out;
    run_task(loop, [](HttpTest* t, Era era, Result<void>* result) -> Task<void> {
      *result = co_await t->client->connect(era, {});
    }(this, hint, &out));
    return out;
  }
  Result<json::object> request(std::string method, json::object params = {}, RequestOptions options = {}) {
    std::optional<Result<json::object>> out;
    run_task(loop,
             [](HttpTest* t, std::string name, json::object arguments, RequestOptions how,
                std::optional<Result<json::object>>* result) -> Task<void> {
               *result = co_await t->client->request(std::move(name), std::move(arguments), std::move(how));
             }(this, std::move(method), std::move(params), std::move(options), &out));
    return *out;
  }

  std::string response(std::string_view result) const {
    std::string out;
    write_result(out, *RequestId::from(got.back().body.at("id")), result);
    return out;
  }
  static Task<void> json_answer(HttpTest* t, net::Exchange* exchange, std::string_view result) {
    co_await exchange->respond(200, "application/json", t->response(result));
  }
  static Task<void> accept(net::Exchange* exchange) { co_await exchange->respond(202, {}, {}); }
  // A modern server that answers calls with {}.
  static Task<void> modern(HttpTest* t, net::Exchange* exchange) {
    co_await json_answer(t, exchange, t->got.back().body.at("method") == "server/discover" ? kDiscovered : "{}");
  }

  Loop loop{"test"};
  int fd;
  std::uint16_t port;
  net::HttpServer server;
  net::HttpClient http;
  observe::LogCapture log;
  Script script = modern;
  std::vector<Got> got;
  Event seen;
  std::unique_ptr<Client> client;
};

TEST_F(HttpTest, RepeatsInHeadersWhatTheModernEraWants) {
  make({.headers = {{"X-Team", "blue"}}, .token = "s3cret"});
  ASSERT_TRUE(connect());
  const auto result =
      request("tools/call", {{"name", "grüße"}}, {.name = "grüße", .headers = {{"Mcp-Param-Region", "eu"}}});
  EXPECT_TRUE(result);
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].header("Mcp-Method"), "server/discover");
  EXPECT_EQ(got[0].header("Authorization"), "Bearer s3cret");
  EXPECT_EQ(got[0].header("X-Team"), "blue");
  EXPECT_EQ(got[1].header("MCP-Protocol-Version"), "2026-07-28");
  EXPECT_EQ(got[1].header("Mcp-Method"), "tools/call");
  EXPECT_EQ(got[1].header("Mcp-Name"), "=?base64?Z3LDvMOfZQ==?=");
  EXPECT_EQ(got[1].header("Mcp-Param-Region"), "eu");
  EXPECT_THAT(got[1].header("Accept"), HasSubstr("text/event-stream"));
  EXPECT_FALSE(log.contains("s3cret"));
}

TEST_F(HttpTest, ASessionHasItsIdAndVersionInEveryRequestAndIsDeleted) {
  script = [](HttpTest* t, net::Exchange* exchange) -> Task<void> {
    const auto& body = t->got.back().body;
    if (t->got.back().method == "DELETE") co_return co_await accept(exchange);
    if (method_of(body) == "server/discover") co_return (void) co_await exchange->respond(400, "text/plain", "what?");
    if (method_of(body) == "notifications/initialized") co_return co_await accept(exchange);
    if (method_of(body) == "initialize") exchange->response_headers().add("Mcp-Session-Id", "abc-1");
    co_await json_answer(
        t, exchange, method_of(body) == "initialize" ? R"({"protocolVersion":"2025-06-18","capabilities":{}})" : "{}");
  };
  make();
  ASSERT_TRUE(connect());
  EXPECT_EQ(client->era(), Era::kLegacy);
  EXPECT_TRUE(request("tools/call"));
  run_task(loop, client->stop());
  std::vector<std::string> calls;
  for (const auto& one : got) {
    calls.push_back(fmt::format("{} {} {} {}", one.method, method_of(one.body), one.header("Mcp-Session-Id"),
                                one.header("MCP-Protocol-Version")));
  }
  EXPECT_THAT(calls, testing::UnorderedElementsAre("POST server/discover  2026-07-28", "POST initialize  ",
                                                   "POST notifications/initialized abc-1 2025-06-18",
                                                   "POST tools/call abc-1 2025-06-18", "DELETE  abc-1 2025-06-18"));
}

TEST_F(HttpTest, ReadsEventStreamsWithWhatComesBeforeTheAnswer) {
  make();
  ASSERT_TRUE(connect());
  script = [](HttpTest* t, net::Exchange* exchange) -> Task<void> {
    const auto token = json::write(t->got.back().body.at("params").at("_meta").at("progressToken"));
    co_await exchange->begin_stream(200, "text/event-stream", ": hello\n\ndata:\n\n");
    co_await exchange->write(fmt::format(
        "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":{},\n"
        "data: \"progress\":1,\"message\":\"one\"}}}}\n\n",
        token));
    co_await exchange->write(fmt::format("event: message\ndata: {}\n\n", t->response(R"({"n":5})")));
    co_await exchange->end_stream();
  };
  std::vector<std::string> heard;
  const auto result = request(
      "x", {},
      {.progress = Progress([&](double, std::optional<double>, std::string_view text) { heard.emplace_back(text); })});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(json::write(*result), R"({"n":5})");
  EXPECT_THAT(heard, ElementsAre("one"));
}

TEST_F(HttpTest, CancellingClosesTheStreamInTheModernEra) {
  make();
  ASSERT_TRUE(connect());
  CancelSource cancel;
  bool told = false;
  script = [&](HttpTest*, net::Exchange* exchange) -> Task<void> {
    return [](net::Exchange* e, CancelSource* source, bool* out, Loop* on) -> Task<void> {
      Event gone(on->executor());
      const auto registration = e->cancelled().on_cancel([&] { gone.notify(); });
      co_await e->begin_stream(200, "text/event-stream", ": waiting\n\n");
      source->cancel();
      while (!e->cancelled().cancelled()) co_await gone.wait();
      *out = true;
    }(exchange, &cancel, &told, &loop);
  };
  const auto result = request("x", {}, {.cancel = cancel.token()});
  EXPECT_EQ(result.error().code, ErrorCode::kCancelled);
  run_task(loop, client->stop());
  EXPECT_EQ(got.size(), 2U);  // no notifications/cancelled
  server.stop_accepting();
  run_task(loop, server.drained());
  EXPECT_TRUE(told);
}

TEST_F(HttpTest, TakesUpACutStreamOfASession) {
  script = [](HttpTest* t, net::Exchange* exchange) -> Task<void> {
    const Got& now = t->got.back();
    if (method_of(now.body) == "initialize") {
      exchange->response_headers().add("Mcp-Session-Id", "s");
      co_return co_await json_answer(t, exchange, R"({"protocolVersion":"2025-11-25","capabilities":{}})");
    }
    if (method_of(now.body) == "x") {
      co_await exchange->begin_stream(200, "text/event-stream", "id: e7\nretry: 1\ndata:\n\n");
      co_return (void) co_await exchange->end_stream();
    }
    if (now.method != "GET") co_return co_await accept(exchange);
    co_await exchange->begin_stream(200, "text/event-stream");
    // The id of `x`, the second request.
    co_await exchange->end_stream("id: e8\ndata: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"n\":9}}\n\n");
  };
  make();
  ASSERT_TRUE(connect(Era::kLegacy));
  const auto result = request("x");
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(json::write(*result), R"({"n":9})");
  const auto resumed = std::ranges::find(got, "GET", &Got::method);
  ASSERT_NE(resumed, got.end());
  EXPECT_EQ(resumed->header("Last-Event-ID"), "e7");
  EXPECT_EQ(resumed->header("Mcp-Session-Id"), "s");
}

TEST_F(HttpTest, HearsOfChangesOnTheSessionsOwnStream) {
  script = [](HttpTest* t, net::Exchange* exchange) -> Task<void> {
    const Got& now = t->got.back();
    if (method_of(now.body) == "initialize") co_return co_await json_answer(t, exchange, kInitialized);
    if (now.method != "GET") co_return co_await accept(exchange);
    co_await exchange->begin_stream(200, "text/event-stream");
    co_await exchange->end_stream("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n");
  };
  make();
  Event changed(loop.executor());
  client->on_tools_changed = [&] { changed.notify(); };
  ASSERT_TRUE(connect(Era::kLegacy));
  run_task(loop, changed.wait());
}

TEST_F(HttpTest, ASessionThatIsGoneEndsTheConnection) {
  script = [](HttpTest* t, net::Exchange* exchange) -> Task<void> {
    const Got& now = t->got.back();
    if (method_of(now.body) == "initialize") {
      exchange->response_headers().add("Mcp-Session-Id", "s");
      co_return co_await json_answer(t, exchange, R"({"protocolVersion":"2025-11-25","capabilities":{}})");
    }
    if (method_of(now.body) == "notifications/initialized") co_return co_await accept(exchange);
    co_await exchange->respond(404, "text/plain", "who?");
  };
  make();
  ASSERT_TRUE(connect(Era::kLegacy));
  const auto result = request("x");
  EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(result.error().message, HasSubstr("ended the session"));
  EXPECT_TRUE(client->closed());
}

TEST_F(HttpTest, RefusalsSayWhatToDo) {
  const auto with = [&](int status, std::string type, std::string body) {
    script = [=](HttpTest*, net::Exchange* exchange) -> Task<void> {
      return [](net::Exchange* e, int code, std::string kind, std::string text) -> Task<void> {
        if (code == 302) e->response_headers().add("Location", "https://elsewhere/mcp");
        co_await e->respond(code, kind, text);
      }(exchange, status, type, body);
    };
    make({.token = "s3cret"});
    const auto done = connect();
    EXPECT_FALSE(done);
    run_task(loop, client->stop());
    return done ? Error{} : done.error();
  };
  EXPECT_EQ(with(401, "text/plain", "").code, ErrorCode::kUnauthenticated);
  EXPECT_EQ(with(401, "text/plain", "").message, "the server refuses our token (HTTP 401)");
  EXPECT_EQ(with(403, "application/json", "{}").code, ErrorCode::kPermissionDenied);
  EXPECT_EQ(with(302, "text/plain", "").message,
            "the server redirects to https://elsewhere/mcp; write that address into the configuration");
  EXPECT_EQ(with(500, "text/plain", "oops").code, ErrorCode::kUnavailable);
  EXPECT_THAT(with(404, "text/html", "<html>").message, HasSubstr("HTTP 404"));
  EXPECT_THAT(with(200, "text/html", "<html>").message, HasSubstr("is this URL an MCP endpoint?"));
  EXPECT_FALSE(log.contains("s3cret"));
}

TEST_F(HttpTest, BrokenAnswersFailTheirRequest) {
  make();
  ASSERT_TRUE(connect());
  const std::vector<std::pair<std::string, std::string>> answers{{"application/json", ""},
                                                                 {"text/event-stream", "data: no json\n\n"},
                                                                 {"text/event-stream", ""},
                                                                 {"text/event-stream", "id: 1\ndata:\n\n"}};
  for (const auto& [type, body] : answers) {
    script = [=](HttpTest*, net::Exchange* exchange) -> Task<void> {
      return [](net::Exchange* e, std::string kind, std::string text) -> Task<void> {
        co_await e->respond(200, kind, text);
      }(exchange, type, body);
    };
    const auto result = request("x", {}, {.timeout = 20s});
    ASSERT_FALSE(result) << type << body;
    EXPECT_NE(result.error().code, ErrorCode::kEngineTimeout) << type << body;
    EXPECT_FALSE(client->closed());
  }
}

TEST_F(HttpTest, AnAnswerThatIsTooLongIsRefused) {
  make({.max_message_bytes = 10'000});
  ASSERT_TRUE(connect());
  for (const std::string type : {"application/json", "text/event-stream"}) {
    script = [=](HttpTest* test, net::Exchange* exchange) -> Task<void> {
      return [](HttpTest* t, net::Exchange* e, std::string kind) -> Task<void> {
        const auto answer = t->response(fmt::format(R"({{"text":"{}"}})", std::string(100'000, 'x')));
        co_await e->respond(200, kind, kind == "application/json" ? answer : fmt::format("data: {}\n\n", answer));
      }(test, exchange, type);
    };
    const auto result = request("x");
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kPayloadTooLarge);
  }
}

TEST_F(HttpTest, AnErrorWithoutAnIdAnswersTheRequestItCameBy) {
  make();
  ASSERT_TRUE(connect());
  script = [](HttpTest*, net::Exchange* exchange) -> Task<void> {
    co_await exchange->respond(400, "application/json",
                               R"({"jsonrpc":"2.0","id":null,"error":{"code":-32020,"message":"headers"}})");
  };
  const auto result = request("x");
  EXPECT_EQ(rpc_code(result.error()), -32020);
}

TEST_F(HttpTest, NobodyListening) {
  make();
  server.stop_accepting();
  const auto done = connect();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kUnavailable);
}

TEST(HttpAddress, IsTakenAsWritten) {
  const auto target = [](std::string_view url) {
    const auto address = parse_http_address(url);
    return address ? address->endpoint.authority() + " " + address->target : address.error().message;
  };
  EXPECT_EQ(target("http://localhost:8000"), "localhost:8000 /mcp");
  EXPECT_EQ(target("http://localhost:8000/"), "localhost:8000 /");
  EXPECT_EQ(target("https://example.com/a/b/?x=y&z"), "example.com /a/b/?x=y&z");
  EXPECT_EQ(target("unix:/run/x.sock:/rpc"), "localhost /rpc");
  EXPECT_FALSE(parse_http_address("http://user:pw@example.com/"));
  EXPECT_FALSE(parse_http_address("http://example.com/?a b"));
  EXPECT_FALSE(parse_http_address("ftp://example.com/"));
}

TEST(HeaderValue, IsEncodedWhereItMustBe) {
  EXPECT_EQ(encode_header_value("get_weather"), "get_weather");
  EXPECT_EQ(encode_header_value(" x"), "=?base64?IHg=?=");
  EXPECT_EQ(encode_header_value("a\r\nb"), "=?base64?YQ0KYg==?=");
  EXPECT_EQ(encode_header_value("=?base64?x?="), "=?base64?PT9iYXNlNjQ/eD89?=");
}

}  // namespace
}  // namespace llm::mcp
