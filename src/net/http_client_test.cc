#include "net/http_client.h"

#include <gtest/gtest.h>

#include "net/scripted_engine.h"
#include "net/server_under_test.h"

namespace llm::net {
namespace {

using namespace std::chrono_literals;

Task<void> answer_and_close(RawListener& engine, std::string answer) {
  auto peer = co_await engine.accept();
  co_await peer.read_head();
  co_await peer.send(answer);
  peer.shutdown_write();
  co_await peer.read_to_end();
}

Task<void> check_answer(HttpClient& client, const Endpoint& endpoint, const RawMessage& row) {
  auto response = co_await client.send(endpoint, {}, {});
  Result<std::string> body = fail(ErrorCode::kInternal, "no head");
  if (response) {
    EXPECT_EQ(response->status() / 100, 2);
    body = co_await response->read_all();
  } else {
    body = fail(response.error());
  }
  if (row.verdict == "bad" || row.verdict == "cut") {
    EXPECT_FALSE(body);
    if (!body) {
      EXPECT_EQ(body.error().code, ErrorCode::kEngineFailed) << body.error().message;
    }
  } else {
    EXPECT_TRUE(body) << body.error().message;
    if (body) {
      EXPECT_EQ(*body, row.body);
    }
  }
}

TEST_F(HttpClientTest, RawResponsesHaveTheirVerdicts) {
  for (const auto& row : load_raw_messages(LLM_TESTDATA "/raw_responses.txt")) {
    SCOPED_TRACE(row.name);
    play(check_answer(client, endpoint, row), answer_and_close(engine, row.bytes));
    client.forget(endpoint);
  }
}

Task<void> two_requests(HttpClient& client, const Endpoint& endpoint) {
  for (int i = 0; i < 2; ++i) {
    auto response = co_await client.send(endpoint, {.method = "POST", .target = "/x", .body = "hello"}, {});
    EXPECT_EQ((co_await response->read_all()).value(), "hello");
    EXPECT_EQ(client.idle(), 0U);
  }
}

TEST(HttpClientAndServer, KeepTheirConnection) {
  Loop loop("test");
  const int fd = listen_tcp("127.0.0.1", 0).value();
  const Endpoint endpoint = parse_endpoint("http://127.0.0.1:" + std::to_string(local_port(fd)) + "/base").value();
  ServerUnderTest under(loop);
  under.server.accept_on(fd);
  HttpClient client(loop, {});
  run_task(loop, two_requests(client, endpoint));
  EXPECT_EQ(client.idle(), 1U);
  EXPECT_EQ(under.server.connections(), 1U);
  EXPECT_EQ(under.seen, (std::vector<std::string>{"/base/x", "/base/x"}));
  client.forget(endpoint);
  EXPECT_EQ(client.idle(), 0U);
  run_task(loop, under.stop());
}

Task<void> stale_script(RawListener& engine, bool& reused) {
  auto first = co_await engine.accept();
  co_await first.read_head();
  co_await first.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
  // The race: the connection closes just as the next request comes.
  reused = !(co_await first.read_head()).empty();
  first.close();
  auto second = co_await engine.accept();
  EXPECT_TRUE((co_await second.read_head()).starts_with("GET /two HTTP/1.1\r\nHost: 127.0.0.1:"));
  co_await second.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
  co_await second.read_to_end();
}

Task<void> stale_test(HttpClient& client, const Endpoint& endpoint) {
  for (const std::string_view target : {"/one", "/two"}) {
    auto response = co_await client.send(endpoint, {.target = target}, {});
    EXPECT_TRUE(response) << response.error().message;
    if (response) {
      EXPECT_EQ((co_await response->read_all()).value(), target == "/one" ? "1" : "2");
    }
  }
  client.forget(endpoint);
}

TEST_F(HttpClientTest, ARequestThatMeetsAClosingConnectionIsSentOnceMore) {
  bool reused = false;
  play(stale_test(client, endpoint), stale_script(engine, reused));
  EXPECT_TRUE(reused);
}

Task<void> half_answer_script(RawListener& engine) {
  auto peer = co_await engine.accept();
  co_await peer.read_head();
  co_await peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  co_await peer.read_head();
  co_await peer.send("HTTP/1.1 2");
  peer.close();
}

Task<void> half_answer_test(HttpClient& client, const Endpoint& endpoint) {
  (void)co_await client.send(endpoint, {}, {});
  const auto second = co_await client.send(endpoint, {.method = "POST"}, {});
  EXPECT_EQ(second.error().code, ErrorCode::kEngineFailed);
}

TEST_F(HttpClientTest, ARequestThatWasBegunToBeAnsweredIsNotSentAgain) {
  play(half_answer_test(client, endpoint), half_answer_script(engine));
}

Task<void> close_at_once(RawListener& engine) {
  (co_await engine.accept()).close();
}

TEST_F(HttpClientTest, AFreshConnectionThatClosesIsAFailure) {
  play(expect_error(client, endpoint, {}, ErrorCode::kEngineFailed), close_at_once(engine));
}

Task<void> idle_closed_script(RawListener& engine) {
  auto peer = co_await engine.accept();
  co_await peer.read_head();
  co_await peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

Task<void> until_pool_is(HttpClient& client, std::size_t size) {
  while (client.idle() != size) co_await sleep_for(1ms);
}

Task<void> idle_closed_test(HttpClient& client, const Endpoint& endpoint) {
  (void)co_await client.send(endpoint, {}, {});
  co_await until_pool_is(client, 0);
}

TEST_F(HttpClientTest, AnIdleConnectionThatTheEngineClosesLeavesThePool) {
  play(idle_closed_test(client, endpoint), idle_closed_script(engine));
}

TEST_F(HttpClientTest, AnIdleConnectionIsClosedInTime) {
  HttpClient impatient(loop, {.idle_timeout = 60ms});
  bool closed = false;
  play(idle_closed_test(impatient, endpoint),
       wait_for_close(engine, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", closed));
  EXPECT_TRUE(closed);
}

TEST_F(HttpClientTest, NoPoolWhenNoneIsWanted) {
  HttpClient none(loop, {.idle_per_endpoint = 0});
  bool closed = false;
  play(idle_closed_test(none, endpoint),
       wait_for_close(engine, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", closed));
  EXPECT_TRUE(closed);
}

Task<void> dropped(HttpClient& client, const Endpoint& endpoint) {
  auto response = co_await client.send(endpoint, {}, {});
  EXPECT_EQ((co_await response->read()).value(), "he");
}

TEST_F(HttpClientTest, DroppingAnAnswerEarlyClosesTheConnection) {
  bool closed = false;
  play(dropped(client, endpoint), wait_for_close(engine, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", closed));
  EXPECT_TRUE(closed);
  EXPECT_EQ(client.idle(), 0U);
}

Task<void> moved(HttpClient& client, const Endpoint& endpoint) {
  auto first = co_await client.send(endpoint, {}, {});
  ClientResponse taken(std::move(*first));
  EXPECT_EQ(taken.status(), 200);
  EXPECT_EQ((co_await taken.read_all()).value(), "hello");
  *first = std::move(taken);  // onto a moved-from one
  EXPECT_EQ(client.idle(), 0U);
  taken = std::move(*first);
  EXPECT_EQ(taken.headers().get("content-length"), "5");
}

TEST_F(HttpClientTest, AnswersMove) {
  bool closed = false;
  TaskGroup group(loop.executor());
  group.spawn(wait_for_close(engine, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", closed));
  run_task(loop, moved(client, endpoint));
  EXPECT_EQ(client.idle(), 1U) << "given back when complete";
  client.forget(endpoint);
  run_task(loop, group.join());
}

Task<void> outlive(std::unique_ptr<HttpClient>& client, const Endpoint& endpoint) {
  auto response = co_await client->send(endpoint, {}, {});
  client.reset();
  EXPECT_EQ((co_await response->read_all()).value(), "hello");
}

TEST_F(HttpClientTest, AnAnswerMayOutliveItsClient) {
  auto short_lived = std::make_unique<HttpClient>(loop, ClientSettings{});
  bool closed = false;
  play(outlive(short_lived, endpoint),
       wait_for_close(engine, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", closed));
  EXPECT_TRUE(closed);
}

Task<void> endless_script(RawListener& engine, std::size_t& sent, bool& closed) {
  auto peer = co_await engine.accept();
  co_await peer.read_head();
  co_await peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "1000\r\n" + std::string(0x1000, 'x') + "\r\n";
  while (co_await peer.send(chunk)) sent += chunk.size();
  closed = true;
}

Task<void> never_reads(HttpClient& client, const Endpoint& endpoint, const std::size_t& sent) {
  auto response = co_await client.send(endpoint, {}, {});
  // The engine gets stuck once what lies between is full; until then it goes on in every turn of the loop.
  std::size_t before = 0;
  do {
    before = sent;
    co_await sleep_for(20ms);
  } while (sent != before);
  EXPECT_LT(sent, 32U * 1024 * 1024);
  // What was kept on this side is bounded.
  EXPECT_LE((co_await response->read())->size(), 512U * 1024);
}

TEST_F(HttpClientTest, AnEndlessAnswerNobodyReadsIsNotKept) {
  HttpClient big(loop, {});
  std::size_t sent = 0;
  bool closed = false;
  play(never_reads(big, endpoint, sent), endless_script(engine, sent, closed));
  EXPECT_TRUE(closed);
}

Task<void> read_too_much(HttpClient& client, const Endpoint& endpoint) {
  auto response = co_await client.send(endpoint, {}, {});
  EXPECT_EQ((co_await response->read_all(4)).error().code, ErrorCode::kPayloadTooLarge);
}

TEST_F(HttpClientTest, ReadAllHasALimit) {
  bool closed = false;
  play(read_too_much(client, endpoint),
       wait_for_close(engine, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", closed));
  EXPECT_TRUE(closed);
}

Task<void> head_only(HttpClient& client, const Endpoint& endpoint) {
  auto response = co_await client.send(endpoint, {.method = "HEAD"}, {});
  EXPECT_EQ((co_await response->read_all()).value(), "");
  EXPECT_EQ(response->headers().get("content-length"), "5");
}

TEST_F(HttpClientTest, Head) {
  bool closed = false;
  TaskGroup group(loop.executor());
  group.spawn(wait_for_close(engine, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", closed));
  run_task(loop, head_only(client, endpoint));
  EXPECT_EQ(client.idle(), 1U);
  client.forget(endpoint);
  run_task(loop, group.join());
}

Task<void> refused_parts(HttpClient& client, const Endpoint& endpoint) {
  for (ClientRequest request :
       {ClientRequest{.method = "GET /"}, ClientRequest{.method = ""}, ClientRequest{.target = "/ HTTP/1.1\r\nX: y"},
        ClientRequest{.content_type = "a\r\nX: y"}, ClientRequest{.headers = {{"X", "a\r\nY: b"}}},
        ClientRequest{.headers = {{"X:", "a"}}}, ClientRequest{.headers = {{"X Y", "a"}}}}) {
    co_await expect_error(client, endpoint, std::move(request), ErrorCode::kInvalidArgument);
  }
}

TEST_F(HttpClientTest, RequestsThatWouldBreakTheMessageAreRefused) {
  run_task(loop, refused_parts(client, endpoint));
}

TEST_F(HttpClientTest, NobodyListens) {
  const Endpoint nobody{.unix_path = "/nonexistent/engine.sock"};
  run_task(loop, expect_error(client, nobody, {}, ErrorCode::kUnavailable));
}

}  // namespace
}  // namespace llm::net
