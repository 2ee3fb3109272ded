// Sessions of the revisions up to 2025-11-25 over HTTP, against a real server.
#include <algorithm>
#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "mcp/http/http_under_test.h"

namespace llm::mcp {
namespace {

std::string initialize(std::string_view version = "2025-11-25", std::string_view capabilities = "{}") {
  return fmt::format(
      R"({{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{}","capabilities":{},"clientInfo":{{"name":"c","version":"1"}}}}}})",
      version, capabilities);
}
std::string request(int id, std::string_view method, std::string_view params = "{}") {
  return fmt::format(R"({{"jsonrpc":"2.0","id":{},"method":"{}","params":{}}})", id, method, params);
}
std::string call(int id, std::string_view tool, std::string_view rest = "") {
  return request(id, "tools/call", fmt::format(R"({{"name":"{}"{}}})", tool, rest));
}
constexpr std::string_view kToken = R"(,"_meta":{"progressToken":1})";

std::string with_session(std::string_view session) {
  return fmt::format("Mcp-Session-Id: {}\r\n", session);
}
std::string post(std::string_view session, std::string_view body, std::string_view more = {}) {
  return raw_request("POST", with_session(session) + std::string(more), body);
}
std::string get(std::string_view session, std::string_view last_event = {}) {
  std::string fields = with_session(session) + "Accept: text/event-stream\r\n";
  if (!last_event.empty()) fields += fmt::format("Last-Event-ID: {}\r\n", last_event);
  return raw_request("GET", fields);
}

// The new session's id.
Task<std::string> open_session(net::RawPeer& peer, std::string body = initialize(), std::string fields = {}) {
  const auto answer = co_await ask(peer, raw_request("POST", fields, body));
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.header("Content-Type"), "application/json");
  EXPECT_TRUE(answer.json().contains("result")) << answer.body;
  co_return answer.header("Mcp-Session-Id");
}
Task<int> status_of(net::RawPeer& peer, std::string bytes) {
  co_return (co_await ask(peer, std::move(bytes))).status;
}

Task<void> check_life(HttpUnderTest& under) {
  auto peer = under.open();
  const std::string id = co_await open_session(peer);
  EXPECT_GE(id.size(), 32U);
  EXPECT_TRUE(std::ranges::all_of(id, [](char c) { return c > 0x20 && c < 0x7F; }));
  EXPECT_EQ(under.endpoint.sessions(), 1U);
  EXPECT_EQ(co_await status_of(peer, post(id, R"({"jsonrpc":"2.0","method":"notifications/initialized"})")), 202);
  auto answer = co_await ask(peer, post(id, request(1, "ping"), "MCP-Protocol-Version: 2025-11-25\r\n"));
  EXPECT_EQ(answer.body, R"({"jsonrpc":"2.0","id":1,"result":{}})");
  EXPECT_EQ(answer.header("Mcp-Session-Id"), "");
  EXPECT_EQ((co_await ask(peer, post(id, request(1, "absent")))).error_code(), -32601);

  const auto ping = request(1, "ping");
  EXPECT_EQ(co_await status_of(peer, raw_request("POST", "", ping)), 400);
  EXPECT_EQ(co_await status_of(peer, post(id, ping, "MCP-Protocol-Version: 1999-01-01\r\n")), 400);
  EXPECT_EQ(co_await status_of(peer, post(id, ping, "MCP-Protocol-Version: 2025-03-26\r\n")), 200);
  EXPECT_EQ(co_await status_of(peer, post(id, ping, with_session(id))), 400);
  for (const std::string_view wrong :
       {"x", "0123456789abcdef0123456789abcdef-0", "0123456789abcdef0123456789abcdef-7"}) {
    EXPECT_EQ(co_await status_of(peer, post(wrong, ping)), 404);
    EXPECT_EQ(co_await status_of(peer, get(wrong)), 404);
    EXPECT_EQ(co_await status_of(peer, raw_request("DELETE", with_session(wrong))), 404);
  }
  // Somebody else's session is as good as none: the same answer.
  const auto theirs = co_await ask(peer, post(id, ping, "X-Principal: eve\r\n"));
  const auto nobodys = co_await ask(peer, post("0123456789abcdef0123456789abcdef-0", ping, "X-Principal: eve\r\n"));
  EXPECT_EQ(theirs.status, 404);
  EXPECT_EQ(theirs.body, nobodys.body);
  EXPECT_EQ(co_await status_of(peer, raw_request("DELETE", with_session(id) + "X-Principal: eve\r\n")), 404);

  EXPECT_EQ(co_await status_of(peer, raw_request("GET", with_session(id) + "Accept: application/json\r\n")), 406);
  EXPECT_EQ(co_await status_of(peer, get(id, "nonsense")), 400);
  EXPECT_EQ(co_await status_of(peer, get(id, "99-1")), 400);
  EXPECT_EQ(co_await status_of(peer, raw_request("DELETE", "")), 400);
  EXPECT_EQ(co_await status_of(peer, raw_request("DELETE", with_session(id))), 204);
  EXPECT_EQ(co_await status_of(peer, raw_request("DELETE", with_session(id))), 404);
  EXPECT_EQ(co_await status_of(peer, post(id, ping)), 404);
  EXPECT_EQ(under.endpoint.sessions(), 0U);

  // What opens no session leaves none.
  answer = co_await ask(peer, raw_request("POST", "", request(1, "initialize")));
  EXPECT_EQ(answer.error_code(), -32602) << answer.body;
  EXPECT_EQ(answer.header("Mcp-Session-Id"), "");
  EXPECT_EQ(under.endpoint.sessions(), 0U);
  co_await under.stop();
}

TEST(SessionHttp, LifeOfASession) {
  Loop loop("test");
  HttpUnderTest under(loop);
  run_task(loop, check_life(under));
}

Task<void> check_cap(HttpUnderTest& under) {
  auto peer = under.open();
  const std::string first = co_await open_session(peer);
  const std::string second = co_await open_session(peer);
  EXPECT_EQ(co_await status_of(peer, post(first, request(1, "ping"))), 200);
  const std::string third = co_await open_session(peer);  // the second was idle the longest
  EXPECT_EQ(co_await status_of(peer, post(second, request(1, "ping"))), 404);
  EXPECT_EQ(co_await status_of(peer, post(first, request(1, "ping"))), 200);
  EXPECT_EQ(co_await status_of(peer, post(third, request(1, "ping"))), 200);
  // One that somebody listens to is not idle; if all are like that there is no room.
  auto ear = under.open();
  auto other_ear = under.open();
  EXPECT_EQ(co_await status_of(ear, get(first)), 200);
  EXPECT_EQ(co_await status_of(other_ear, get(third)), 200);
  EXPECT_EQ(co_await status_of(peer, raw_request("POST", "", initialize())), 503);
  co_await under.stop();
}

TEST(SessionHttp, TheIdlestSessionGoesFirst) {
  Loop loop("test");
  HttpUnderTest under(loop, {.max_sessions = 2});
  run_task(loop, check_cap(under));
}

Task<void> open_many(HttpUnderTest& under) {
  auto peer = under.open();
  for (int i = 0; i < 5000; ++i) {
    co_await open_session(peer);
    EXPECT_LE(under.endpoint.sessions(), 16U);
  }
  EXPECT_EQ(under.endpoint.sessions(), 16U);
  co_await under.stop();
}

TEST(SessionHttp, ManySessionsStayFew) {
  Loop loop("test");
  HttpUnderTest under(loop, {.max_sessions = 16});
  run_task(loop, open_many(under));
}

Task<void> check_expiry(HttpUnderTest& under, std::chrono::steady_clock::time_point& now) {
  auto peer = under.open();
  const std::string idle = co_await open_session(peer);
  const std::string heard = co_await open_session(peer);
  auto ear = under.open();
  EXPECT_EQ(co_await status_of(ear, get(heard)), 200);
  now += std::chrono::minutes(59);
  EXPECT_EQ(co_await status_of(peer, post(idle, request(1, "ping"))), 200);
  now += std::chrono::minutes(59);
  EXPECT_EQ(co_await status_of(peer, post(idle, request(1, "ping"))), 200);
  now += std::chrono::minutes(60);
  EXPECT_EQ(co_await status_of(peer, post(idle, request(1, "ping"))), 404);
  EXPECT_EQ(co_await status_of(peer, post(heard, request(1, "ping"))), 200);
  co_await under.stop();
}

TEST(SessionHttp, AnIdleSessionExpires) {
  Loop loop("test");
  auto now = std::chrono::steady_clock::now();
  HttpUnderTest under(loop, {.session_idle = std::chrono::hours(1), .now = [&now] { return now; }});
  run_task(loop, check_expiry(under, now));
}

Task<void> check_progress(HttpUnderTest& under, std::string version, bool primed) {
  auto peer = under.open();
  const std::string id = co_await open_session(peer, initialize(version));
  const auto answer = co_await ask(peer, post(id, call(1, "steps", kToken)));
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.streaming()) << answer.head;
  if (primed) {
    const auto prime = co_await read_event(peer);
    EXPECT_EQ(prime.data, "");
    EXPECT_NE(prime.id, "");
    EXPECT_TRUE(prime.retry);
  }
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) {
    const auto event = co_await read_event(peer);
    EXPECT_EQ(json::string_or(event.json(), "method"), "notifications/progress") << event.data;
    ids.push_back(event.id);
  }
  const auto result = co_await read_event(peer);
  EXPECT_TRUE(result.json().contains("result"));
  ids.push_back(result.id);
  std::ranges::sort(ids);
  EXPECT_EQ(std::ranges::adjacent_find(ids), ids.end());
  EXPECT_TRUE(co_await stream_ends(peer));
  // The stream has ended, but what it said can be had again.
  EXPECT_EQ(co_await status_of(peer, get(id, ids[1])), 200);
  EXPECT_EQ((co_await read_event(peer)).id.empty(), false);
  co_await under.stop();
}

TEST(SessionHttp, ProgressMakesAStreamWithIds) {
  for (const auto& [version, primed] : {std::pair{"2025-11-25", true}, {"2025-06-18", false}, {"2025-03-26", false}}) {
    SCOPED_TRACE(version);
    Loop loop("test");
    HttpUnderTest under(loop);
    run_task(loop, check_progress(under, version, primed));
  }
}

Task<void> check_resumption(HttpUnderTest& under) {
  auto peer = under.open();
  const std::string id = co_await open_session(peer);
  auto caller = under.open();
  EXPECT_TRUE((co_await ask(caller, post(id, call(1, "gate", kToken)))).streaming());
  const auto prime = co_await read_event(caller);
  const auto progress = co_await read_event(caller);
  EXPECT_EQ(json::string_or(progress.json(), "method"), "notifications/progress") << progress.data;
  caller.close();  // no cancellation
  while (under.http.connections() > 1) co_await boost::asio::post(under.loop.executor(), use_task);
  under.open_gate();
  // The answer is kept until the client comes, however it finds out where it was.
  EXPECT_TRUE((co_await ask(peer, get(id, progress.id))).streaming());
  const auto answer = co_await read_event(peer);
  EXPECT_TRUE(answer.json().contains("result")) << answer.data;
  EXPECT_TRUE(co_await stream_ends(peer));
  EXPECT_TRUE((co_await ask(peer, get(id, prime.id))).streaming());
  EXPECT_EQ((co_await read_event(peer)).id, progress.id);
  EXPECT_EQ((co_await read_event(peer)).id, answer.id);
  EXPECT_TRUE(co_await stream_ends(peer));
  co_await under.stop();
}

TEST(SessionHttp, ABrokenStreamIsResumed) {
  Loop loop("test");
  HttpUnderTest under(loop);
  run_task(loop, check_resumption(under));
}

Task<void> check_polling(HttpUnderTest& under) {
  auto peer = under.open();
  const std::string id = co_await open_session(peer);
  EXPECT_TRUE((co_await ask(peer, post(id, call(1, "poll")))).streaming());
  const auto prime = co_await read_event(peer);
  EXPECT_TRUE(prime.retry);
  EXPECT_EQ(prime.data, "");
  EXPECT_TRUE(co_await stream_ends(peer));
  EXPECT_TRUE((co_await ask(peer, get(id, prime.id))).streaming());
  under.open_gate();
  auto event = co_await read_event(peer);
  while (event.data.empty()) event = co_await read_event(peer);
  EXPECT_TRUE(event.json().contains("result")) << event.data;
  EXPECT_TRUE(co_await stream_ends(peer));
  co_await under.stop();
}

TEST(SessionHttp, AHandlerCanLetTheClientGo) {
  Loop loop("test");
  HttpUnderTest under(loop);
  run_task(loop, check_polling(under));
}

Task<StreamEvent> read_message(net::RawPeer& peer) {
  auto event = co_await read_event(peer);
  while (event.data.empty()) event = co_await read_event(peer);
  co_return event;
}

Task<void> check_get(HttpUnderTest& under) {
  auto peer = under.open();
  const std::string id = co_await open_session(peer);
  co_await ask(peer, post(id, R"({"jsonrpc":"2.0","method":"notifications/initialized"})"));
  auto ear = under.open();
  EXPECT_TRUE((co_await ask(ear, get(id))).streaming());
  EXPECT_EQ((co_await read_event(ear)).id, "0-0");
  under.server.changes().announce({.kind = Change::Kind::kTools});
  const auto first = co_await read_message(ear);
  EXPECT_EQ(json::string_or(first.json(), "method"), "notifications/tools/list_changed") << first.data;
  // Somebody else takes the stream over; what was said meanwhile is said again to who asks for it.
  auto other = under.open();
  EXPECT_TRUE((co_await ask(other, get(id))).streaming());
  EXPECT_TRUE(co_await stream_ends(ear));
  under.server.changes().announce({.kind = Change::Kind::kPrompts});
  const auto second = co_await read_message(other);
  EXPECT_EQ(json::string_or(second.json(), "method"), "notifications/prompts/list_changed") << second.data;
  EXPECT_TRUE((co_await ask(ear, get(id, first.id))).streaming());
  EXPECT_EQ((co_await read_message(ear)).id, second.id);
  // The end of the session ends the stream.
  EXPECT_EQ(co_await status_of(peer, raw_request("DELETE", with_session(id))), 204);
  EXPECT_TRUE(co_await stream_ends(ear));
  co_await under.stop();
}

TEST(SessionHttp, TheGetStreamCarriesWhatBelongsToNoRequest) {
  Loop loop("test");
  HttpUnderTest under(loop);
  run_task(loop, check_get(under));
}

Task<void> check_questions(HttpUnderTest& under) {
  auto peer = under.open();
  const std::string id = co_await open_session(peer, initialize("2025-11-25", R"({"elicitation":{}})"));
  auto caller = under.open();
  EXPECT_TRUE((co_await ask(caller, post(id, call(1, "interview")))).streaming());
  for (int round = 0; round < 2; ++round) {
    const auto question = co_await read_message(caller);
    EXPECT_EQ(json::string_or(question.json(), "method"), "elicitation/create") << question.data;
    const std::string answer = fmt::format(R"({{"jsonrpc":"2.0","id":{},"result":{{"action":"accept"}}}})",
                                           json::write(question.json().at("id")));
    EXPECT_EQ(co_await status_of(peer, post(id, answer)), 202);
  }
  EXPECT_TRUE((co_await read_message(caller)).json().contains("result"));
  EXPECT_TRUE(co_await stream_ends(caller));
  co_await under.stop();
}

TEST(SessionHttp, QuestionsGoOutByTheStreamAndAreAnsweredByPosts) {
  Loop loop("test");
  HttpUnderTest under(loop);
  run_task(loop, check_questions(under));
}

Task<void> check_batches(HttpUnderTest& under) {
  auto peer = under.open();
  const std::string old = co_await open_session(peer, initialize("2025-03-26"));
  const std::string pings = "[" + request(1, "ping") + "," + request(2, "ping") + "]";
  auto answer = co_await ask(peer, post(old, pings));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, R"([{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":2,"result":{}}])");
  answer = co_await ask(peer, post(old, R"([{"jsonrpc":"2.0","method":"notifications/initialized"}])"));
  EXPECT_EQ(answer.status, 202);
  const std::string mixed = "[" + call(3, "steps", kToken) + "," + request(4, "ping") + "]";
  EXPECT_TRUE((co_await ask(peer, post(old, mixed))).streaming());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE((co_await read_event(peer)).json().contains("method"));
  EXPECT_TRUE((co_await read_event(peer)).data.starts_with('['));
  EXPECT_TRUE(co_await stream_ends(peer));
  const std::string id = co_await open_session(peer, initialize("2025-06-18"));
  answer = co_await ask(peer, post(id, pings));
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.error_code(), -32600);
  co_await under.stop();
}

TEST(SessionHttp, OnlyTheOldestRevisionHasBatches) {
  Loop loop("test");
  HttpUnderTest under(loop);
  run_task(loop, check_batches(under));
}

Task<void> check_cancel(HttpUnderTest& under) {
  auto peer = under.open();
  const std::string id = co_await open_session(peer);
  auto caller = under.open();
  co_await caller.send(post(id, call(1, "note")));
  const std::string cancel = R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}})";
  while (under.cancelled == 0) EXPECT_EQ(co_await status_of(peer, post(id, cancel)), 202);
  EXPECT_EQ((co_await read_answer(caller)).status, 202);  // nothing follows
  // The end of a session ends what it does.
  co_await caller.send(post(id, call(2, "gate", kToken)));
  EXPECT_TRUE((co_await read_answer(caller)).streaming());
  EXPECT_EQ(co_await status_of(peer, raw_request("DELETE", with_session(id))), 204);
  under.open_gate();
  co_await under.stop();
}

TEST(SessionHttp, ANotificationCancels) {
  Loop loop("test");
  HttpUnderTest under(loop);
  run_task(loop, check_cancel(under));
}

Task<net::RawPeer> connect(Loop& loop, std::string path) {
  auto transport = co_await net::connect(loop, {.unix_path = path}, std::chrono::seconds(60), {});
  co_return net::RawPeer(loop, std::move(transport.value()));
}

// Connections are dealt out in turn: of two, each is on another loop.
Task<void> check_two_loops(HttpUnderTest& under, std::string path) {
  auto one = co_await connect(under.loop, path);
  auto two = co_await connect(under.loop, path);
  const std::string first = co_await open_session(one);
  const std::string second = co_await open_session(two);
  EXPECT_NE(first.substr(first.rfind('-')), second.substr(second.rfind('-')));
  for (const std::string& id : {first, second}) {
    for (auto* peer : {&one, &two}) {
      EXPECT_EQ(co_await status_of(*peer, post(id, request(1, "ping"))), 200);
      EXPECT_EQ(co_await status_of(*peer, post(id, R"({"jsonrpc":"2.0","method":"notifications/initialized"})")), 202);
      EXPECT_TRUE((co_await ask(*peer, post(id, call(1, "steps", kToken)))).streaming());
      EXPECT_EQ((co_await read_event(*peer)).data, "");
      std::string last;
      for (int i = 0; i < 4; ++i) {
        const auto event = co_await read_event(*peer);
        if (i == 2) last = event.id;
        EXPECT_EQ(event.json().contains("result"), i == 3) << event.data;
      }
      EXPECT_TRUE(co_await stream_ends(*peer));
      auto* other = peer == &one ? &two : &one;
      EXPECT_TRUE((co_await ask(*other, get(id, last))).streaming());
      EXPECT_TRUE((co_await read_message(*other)).json().contains("result"));
      EXPECT_TRUE(co_await stream_ends(*other));
    }
  }
  EXPECT_EQ(under.endpoint.sessions(), 2U);
  EXPECT_EQ(co_await status_of(two, raw_request("DELETE", with_session(first))), 204);
  EXPECT_EQ(co_await status_of(one, post(first, request(1, "ping"))), 404);
  EXPECT_TRUE((co_await ask(one, get(second))).streaming());
  under.endpoint.stop();
  const std::string rest = co_await one.read_until("0\r\n\r\n");
  EXPECT_TRUE(rest.ends_with("0\r\n\r\n"));
  co_await under.stop();
}

TEST(SessionHttp, ASessionIsReachedFromEveryLoop) {
  const std::string path = fmt::format("{}mcp-http-{}.sock", testing::TempDir(), getpid());
  Loop loop("test");
  Loop second("second");
  {
    HttpUnderTest under(loop, {}, {&second});
    under.http.accept_on(net::listen_unix(path).value());
    second.start();
    run_task(loop, check_two_loops(under, path));
    second.stop();
    second.join();
  }
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace llm::mcp
