// MCP 2026-07-28 over HTTP, against a real server.
#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "mcp/http/http_under_test.h"

namespace llm::mcp {
namespace {

constexpr std::string_view kMeta =
    R"("_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}})";

std::string message(std::string_view method, std::string_view params = {}) {
  return fmt::format(R"({{"jsonrpc":"2.0","id":7,"method":"{}","params":{{{}{}{}}}}})", method, kMeta,
                     params.empty() ? "" : ",", params);
}
std::string headers(std::string_view method, std::string_view name = {}) {
  return fmt::format("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {}\r\n{}", method,
                     name.empty() ? "" : fmt::format("Mcp-Name: {}\r\n", name));
}
std::string call(std::string_view tool, std::string_view rest = {}) {
  return raw_request("POST", headers("tools/call", tool),
                     message("tools/call", fmt::format(R"("name":"{}"{}{})", tool, rest.empty() ? "" : ",", rest)));
}
std::string call_here(std::string_view more_headers, std::string_view arguments) {
  return raw_request("POST", headers("tools/call", "here") + std::string(more_headers),
                     message("tools/call", fmt::format(R"("name":"here","arguments":{})", arguments)));
}

struct Row {
  std::string_view name;
  std::string request;
  int status;
  int code;
};

std::vector<Row> rows() {
  const std::string list = message("tools/list");
  const std::string good = headers("tools/list");
  const auto post = [](std::string_view fields, std::string_view body) { return raw_request("POST", fields, body); };
  const auto version = [&](std::string_view value) {
    return fmt::format("MCP-Protocol-Version: {}\r\nMcp-Method: tools/list\r\n", value);
  };
  const auto with_meta = [](std::string_view fields) {
    return fmt::format(R"({{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{{"_meta":{{{}}}}}}})", fields);
  };
  const std::string_view caps = R"("io.modelcontextprotocol/clientCapabilities":{})";
  const std::string future =
      with_meta(fmt::format(R"("io.modelcontextprotocol/protocolVersion":"2099-01-01",{})", caps));
  return {
      {"good", post(good, list), 200, 0},
      {"names in any case", post("mcp-protocol-version: 2026-07-28\r\nMCP-METHOD:  tools/list  \r\n", list), 200, 0},
      {"no version header", post("Mcp-Method: tools/list\r\n", list), 400, -32020},
      {"other version header", post(version("2025-11-25"), list), 400, -32020},
      {"version header twice", post(good + "MCP-Protocol-Version: 2026-07-28\r\n", list), 400, -32020},
      {"no method header", post("MCP-Protocol-Version: 2026-07-28\r\n", list), 400, -32020},
      {"method header in capitals", post(headers("TOOLS/LIST"), list), 400, -32020},
      {"encoded method header", post(headers("=?base64?dG9vbHMvbGlzdA==?="), list), 200, 0},
      {"unknown version", post(version("2099-01-01"), future), 400, -32022},
      {"unknown version, known header", post(good, future), 400, -32020},
      {"no _meta", post(good, R"({"jsonrpc":"2.0","id":7,"method":"tools/list"})"), 400, -32602},
      {"empty _meta", post(good, with_meta("")), 400, -32602},
      {"no version in _meta", post(good, with_meta(caps)), 400, -32602},
      {"no capabilities", post(good, with_meta(R"("io.modelcontextprotocol/protocolVersion":"2026-07-28")")), 400,
       -32602},
      {"initialize", post(headers("initialize"), message("initialize")), 404, -32601},
      {"initialize by header",
       post("MCP-Protocol-Version: 2026-07-28\r\n", R"({"jsonrpc":"2.0","id":7,"method":"initialize","params":{}})"),
       404, -32601},
      {"ping", post(headers("ping"), message("ping")), 404, -32601},
      {"no name header", post(headers("tools/call"), message("tools/call", R"("name":"nothing")")), 400, -32020},
      {"other name header", post(headers("tools/call", "echo"), message("tools/call", R"("name":"nothing")")), 400,
       -32020},
      {"bad base64 in name header",
       post(headers("tools/call", "=?base64?bm90aGluZw?="), message("tools/call", R"("name":"nothing")")), 400, -32020},
      {"encoded name header",
       post(headers("tools/call", "=?base64?bm90aGluZw==?="), message("tools/call", R"("name":"nothing")")), 200, 0},
      {"name header without name", post(headers("tools/call", "echo"), message("tools/call")), 400, -32020},
      {"no name at all", post(headers("tools/call"), message("tools/call")), 200, -32602},
      {"unknown tool", call("absent"), 200, -32602},
      {"resource by uri",
       post(headers("resources/read", "example://fixed"), message("resources/read", R"("uri":"example://fixed")")), 200,
       0},
      {"resource without name header",
       post(headers("resources/read"), message("resources/read", R"("uri":"example://fixed")")), 400, -32020},
      {"prompt without name header",
       post(headers("prompts/get"), message("prompts/get", R"("name":"greet","arguments":{"name":"a"})")), 400, -32020},
      {"task without name header", post(headers("tasks/get"), message("tasks/get", R"("taskId":"a")")), 400, -32020},
      {"a batch", post(good, "[" + list + "]"), 400, -32600},
      {"a response", post("MCP-Protocol-Version: 2026-07-28\r\n", R"({"jsonrpc":"2.0","id":1,"result":{}})"), 400,
       -32600},
      {"not JSON", post(good, "{"), 400, -32700},
      {"not JSON-RPC", post(good, "{}"), 400, -32600},
      {"other content type", post(good + "Content-Type: text/plain\r\n", list), 415, -32600},
      {"content type with charset", post(good + "Content-Type: Application/JSON; charset=utf-8\r\n", list), 200, 0},
      {"accepts JSON alone", post(good + "Accept: application/json\r\n", list), 406, -32600},
      {"accepts everything", post(good + "Accept: */*\r\n", list), 200, 0},
      {"accepts no streams", post(good + "Accept: application/json, text/event-stream;q=0\r\n", list), 406, -32600},
      {"foreign origin", post(good + "Origin: http://evil.example\r\n", list), 403, -32600},
      {"own origin", post(good + "Origin: http://[::1]:3000\r\n", list), 200, 0},
      {"other method", raw_request("PUT", good), 405, -32600},
      {"GET", raw_request("GET", good), 405, -32600},
      {"DELETE", raw_request("DELETE", good), 405, -32600},
      // Mcp-Param-*
      {"no parameters", call_here("", "{}"), 200, 0},
      {"true parameters",
       call_here("Mcp-Param-Region: eu\r\nMcp-Param-Count: 42.0\r\nMcp-Param-Sure: true\r\n",
                 R"({"region":"eu","count":42,"sure":true})"),
       200, 0},
      {"encoded parameter", call_here("Mcp-Param-Region: =?base64?SGVsbG8=?=\r\n", R"({"region":"Hello"})"), 200, 0},
      {"parameter without the end of the encoding",
       call_here("Mcp-Param-Region: =?base64?SGVsbG8=\r\n", R"({"region":"=?base64?SGVsbG8="})"), 200, 0},
      {"badly encoded parameter", call_here("Mcp-Param-Region: =?base64?SGVsbG8?=\r\n", R"({"region":"Hello"})"), 400,
       -32020},
      {"parameter without header", call_here("", R"({"region":"eu"})"), 400, -32020},
      {"other parameter", call_here("Mcp-Param-Region: us\r\n", R"({"region":"eu"})"), 400, -32020},
      {"other number", call_here("Mcp-Param-Count: 43\r\n", R"({"count":42})"), 400, -32020},
      {"no number", call_here("Mcp-Param-Count: 0x2A\r\n", R"({"count":42})"), 400, -32020},
      {"null parameter", call_here("", R"({"region":null})"), 200, 0},
      {"header without parameter", call_here("Mcp-Param-Region: eu\r\n", "{}"), 400, -32020},
      {"parameter twice", call_here("Mcp-Param-Region: eu\r\nMcp-Param-Region: eu\r\n", R"({"region":"eu"})"), 400,
       -32020},
  };
}

Task<void> check_rows(HttpUnderTest& under) {
  auto peer = under.open();
  for (const Row& row : rows()) {
    SCOPED_TRACE(row.name);
    const auto answer = co_await ask(peer, row.request);
    EXPECT_EQ(answer.status, row.status) << answer.body;
    EXPECT_EQ(answer.error_code(), row.code) << answer.body;
    EXPECT_EQ(answer.header("Content-Type"), "application/json");
  }
  co_await under.stop();
}

TEST(ModernHttp, RequestsHaveTheirVerdicts) {
  Loop loop("test");
  HttpUnderTest under(loop);
  run_task(loop, check_rows(under));
}

Task<void> check_foreign_host(HttpUnderTest& under) {
  auto peer = under.open();
  const auto answer = co_await ask(peer, "POST /mcp HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(answer.status, 403);
  co_await under.stop();
}

TEST(ModernHttp, AForeignHostIsRefused) {
  Loop loop("test");
  HttpUnderTest under(loop);
  run_task(loop, check_foreign_host(under));
}

Task<void> check_too_long(HttpUnderTest& under) {
  auto peer = under.open();
  const std::string body(kMaxMessageBytes + 1, ' ');
  co_await peer.send(raw_request("POST", headers("tools/list"), body));
  EXPECT_EQ((co_await read_answer(peer)).status, 413);
  co_await under.stop();
}

TEST(ModernHttp, ALongMessageIsRefused) {
  Loop loop("test");
  HttpUnderTest under(loop);
  run_task(loop, check_too_long(under));
}

Task<void> check_notification(HttpUnderTest& under) {
  auto peer = under.open();
  const std::string body = R"({"jsonrpc":"2.0","method":"notifications/roots/list_changed"})";
  auto answer = co_await ask(peer, raw_request("POST", "MCP-Protocol-Version: 2026-07-28\r\n", body));
  EXPECT_EQ(answer.status, 202);
  EXPECT_EQ(answer.body, "");
  answer = co_await ask(peer, raw_request("POST", headers("notifications/other"), body));
  EXPECT_EQ(answer.status, 400);
  co_await under.stop();
}

TEST(ModernHttp, NotificationsAreAcceptedWithoutABody) {
  Loop loop("test");
  HttpUnderTest under(loop);
  run_task(loop, check_notification(under));
}

Task<void> check_progress(HttpUnderTest& under) {
  auto peer = under.open();
  std::string meta(kMeta);
  meta.insert(meta.size() - 1, R"(,"progressToken":"t")");
  const std::string body =
      fmt::format(R"({{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{{"name":"steps",{}}}}})", meta);
  const auto answer = co_await ask(peer, raw_request("POST", headers("tools/call", "steps"), body));
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.streaming()) << answer.head;
  EXPECT_EQ(answer.header("X-Accel-Buffering"), "no");
  for (const double expected : {1.0, 2.5, 3.0}) {
    const auto event = co_await read_event(peer);
    EXPECT_EQ(event.id, "");
    EXPECT_EQ(json::number_or(event.json()["params"].get_object(), "progress"), expected);
  }
  EXPECT_TRUE((co_await read_event(peer)).json().contains("result"));
  EXPECT_TRUE(co_await stream_ends(peer));
  // Without a token there is nothing but the answer, and the connection goes on.
  const auto plain = co_await ask(peer, call("steps"));
  EXPECT_EQ(plain.header("Content-Type"), "application/json");
  EXPECT_TRUE(plain.json().contains("result")) << plain.body;
  co_await under.stop();
}

TEST(ModernHttp, ProgressMakesAStream) {
  Loop loop("test");
  HttpUnderTest under(loop);
  run_task(loop, check_progress(under));
}

Task<void> check_slow_answer(HttpUnderTest& under) {
  auto peer = under.open();
  const auto answer = co_await ask(peer, call("gate"));
  EXPECT_TRUE(answer.streaming()) << answer.head;
  EXPECT_TRUE((co_await read_event(peer)).comment);
  under.open_gate();
  auto event = co_await read_event(peer);
  while (event.comment && event.data.empty()) event = co_await read_event(peer);
  EXPECT_TRUE(event.json().contains("result"));
  co_await under.stop();
}

TEST(ModernHttp, ASlowAnswerBecomesAStreamThatShowsLife) {
  Loop loop("test");
  HttpUnderTest under(loop, {.keep_alive = std::chrono::milliseconds(50)});
  run_task(loop, check_slow_answer(under));
}

Task<void> check_disconnect(HttpUnderTest& under) {
  auto peer = under.open();
  co_await peer.send(call("note"));
  while (under.http.connections() == 0) co_await boost::asio::post(under.loop.executor(), use_task);
  peer.close();
  co_await under.until_cancelled(1);
  co_await under.http.drained();
  co_await under.stop();
}

TEST(ModernHttp, AClientThatLeavesCancels) {
  Loop loop("test");
  HttpUnderTest under(loop);
  run_task(loop, check_disconnect(under));
}

std::string listen_request() {
  return raw_request("POST", headers("subscriptions/listen"),
                     message("subscriptions/listen", R"("notifications":{"toolsListChanged":true})"));
}

Task<void> check_listen(HttpUnderTest& under) {
  auto peer = under.open();
  const auto answer = co_await ask(peer, listen_request());
  EXPECT_TRUE(answer.streaming());
  auto event = co_await read_event(peer);
  EXPECT_EQ(json::string_or(event.json(), "method"), "notifications/subscriptions/acknowledged") << event.data;
  EXPECT_TRUE((co_await read_event(peer)).comment);
  under.server.changes().announce({.kind = Change::Kind::kTools});
  do event = co_await read_event(peer);
  while (event.comment);
  EXPECT_EQ(json::string_or(event.json(), "method"), "notifications/tools/list_changed") << event.data;
  under.endpoint.stop();
  do event = co_await read_event(peer);
  while (event.comment);
  EXPECT_TRUE(event.json().contains("result")) << event.data;  // and no notifications/cancelled, which is for stdio
  EXPECT_TRUE(co_await stream_ends(peer));
  const auto late = co_await ask(peer, call("nothing"));
  EXPECT_EQ(late.status, 503);
  co_await under.stop();
}

TEST(ModernHttp, ListensAreAcknowledgedAtOnceAndEndWithTheServer) {
  Loop loop("test");
  HttpUnderTest under(loop, {.keep_alive = std::chrono::milliseconds(50)});
  run_task(loop, check_listen(under));
}

Task<void> check_deaf_client(HttpUnderTest& under) {
  auto peer = under.open();
  co_await ask(peer, listen_request());
  auto deaf = under.open();
  co_await deaf.send(listen_request());
  // Until the one that does not read is cut off; the other one gets everything.
  std::size_t announced = 0;
  while (under.http.connections() == 2) {
    under.server.changes().announce({.kind = Change::Kind::kTools});
    ++announced;
    co_await read_event(peer);
  }
  EXPECT_GT(announced, 100U);
  co_await under.stop();
}

TEST(ModernHttp, AClientThatNeverReadsIsCutOff) {
  Loop loop("test");
  HttpUnderTest under(loop, {.max_queued_bytes = 16 * 1024});
  run_task(loop, check_deaf_client(under));
}

}  // namespace
}  // namespace llm::mcp
