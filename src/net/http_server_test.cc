#include "net/http_server.h"

#include <gtest/gtest.h>

#include "net/server_under_test.h"

namespace llm::net {
namespace {

constexpr std::string_view kNext = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

Task<void> raw_request(ServerUnderTest& under, const RawMessage& row) {
  under.seen.clear();
  auto peer = under.open();
  co_await peer.send(row.bytes + std::string(kNext));
  const bool accepted = row.verdict == "ok" || row.verdict == "close";
  if (row.verdict == "ok") peer.shutdown_write();
  const std::string answers = co_await peer.read_to_end();
  const bool next_seen = !under.seen.empty() && under.seen.back() == "/next";
  EXPECT_EQ(next_seen, row.verdict == "ok");
  EXPECT_EQ(count_of(answers, "HTTP/1.1 "), row.verdict == "ok" ? 2U : 1U) << answers;
  EXPECT_TRUE(answers.starts_with("HTTP/1.1 " + (accepted ? std::string("200 OK\r\n") : row.verdict + " "))) << answers;
  if (accepted) {
    EXPECT_TRUE(body_of(answers).starts_with(row.body)) << answers;
  } else {
    EXPECT_NE(answers.find("\r\nConnection: close\r\n"), std::string::npos) << answers;
  }
  peer.close();
  co_await under.server.drained();
}

TEST(HttpServer, RawRequestsHaveTheirVerdicts) {
  Loop loop("test");
  ServerUnderTest under(loop, kRawSettings);
  for (const auto& row : load_raw_messages(LLM_TESTDATA "/raw_requests.txt")) {
    SCOPED_TRACE(row.name);
    run_task(loop, raw_request(under, row));
  }
}

Task<void> keep_alive(ServerUnderTest& under) {
  auto peer = under.open();
  for (const std::string body : {"one", "two", "three"}) {
    co_await peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                       body);
    const auto answer = co_await peer.read_until(body);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\nDate: ")) << answer;
    EXPECT_EQ(body_of(answer), body);
    EXPECT_EQ(answer.find("Connection:"), std::string::npos) << answer;
  }
  co_await peer.send("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const auto last = co_await peer.read_to_end();
  EXPECT_NE(last.find("Connection: close\r\n"), std::string::npos);
}

Task<void> pipelining(ServerUnderTest& under) {
  auto peer = under.open();
  std::string requests;
  std::string expected;
  for (int i = 0; i < 500; ++i) {
    const std::string body = "body " + std::to_string(i) + ";";
    requests += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\nX: " + std::string(300, 'x') +
                "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    expected += body;
  }
  EXPECT_GT(requests.size(), 128U * 1024) << "more than the server reads ahead";
  co_await peer.send(requests);
  peer.shutdown_write();
  const std::string answers = co_await peer.read_to_end();
  std::string bodies;
  for (std::size_t at = answers.find("\r\n\r\n"); at != std::string::npos; at = answers.find("\r\n\r\n", at + 1)) {
    bodies += answers.substr(at + 4, answers.find(';', at) - at - 3);
  }
  EXPECT_EQ(bodies, expected);
  EXPECT_EQ(under.seen.size(), 500U);
}

Task<void> one_request(ServerUnderTest& under, std::string request, std::string& answer) {
  auto peer = under.open();
  co_await peer.send(request);
  peer.shutdown_write();
  answer = co_await peer.read_to_end();
}

class HttpServerTest : public testing::Test {
 protected:
  std::string ask(const std::string& request) {
    std::string answer;
    run_task(loop, one_request(under, request, answer));
    return answer;
  }
  Loop loop{"test"};
  ServerUnderTest under{loop};
};

TEST_F(HttpServerTest, KeepsConnectionsAlive) {
  run_task(loop, keep_alive(under));
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  run_task(loop, pipelining(under));
}

TEST_F(HttpServerTest, AClientThatEndsItsSideStillGetsItsAnswer) {
  EXPECT_EQ(body_of(ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")), "hi");
}

TEST_F(HttpServerTest, HeadGetsTheHeadAlone) {
  const auto answer = ask("HEAD /?a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
  EXPECT_NE(answer.find("Content-Length: 2\r\n"), std::string::npos) << answer;
  EXPECT_EQ(body_of(answer), "");
  const auto stream = ask("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_NE(stream.find("Transfer-Encoding: chunked\r\n"), std::string::npos) << stream;
  EXPECT_EQ(body_of(stream), "");
}

TEST_F(HttpServerTest, StreamsInChunks) {
  const auto answer = ask("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_NE(answer.find("Transfer-Encoding: chunked\r\n"), std::string::npos) << answer;
  EXPECT_EQ(body_of(answer), "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
}

TEST_F(HttpServerTest, StreamsToHttp10UntilTheConnectionCloses) {
  const auto answer = ask("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(answer.find("Transfer-Encoding"), std::string::npos) << answer;
  EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos) << answer;
  EXPECT_EQ(body_of(answer), "onetwo");
}

TEST_F(HttpServerTest, AStreamWithoutItsEndIsCut) {
  const auto answer = ask("GET /cut HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(body_of(answer), "3\r\none\r\n3\r\ntwo\r\n");
  EXPECT_EQ(under.seen.size(), 1U);
}

TEST_F(HttpServerTest, NoContentHasNoLength) {
  const auto answer = ask("GET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 204 No Content\r\n")) << answer;
  EXPECT_EQ(answer.find("Content-Length"), std::string::npos) << answer;
}

TEST_F(HttpServerTest, ARequestNobodyAnsweredGets500) {
  for (const std::string target : {"/silent", "/throw"}) {
    auto peer_answer = std::string();
    run_task(loop,
             one_request(under, "GET " + target + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", peer_answer));
    // The client has ended its side, which counts as gone: only a bug is worth an answer then.
    if (target == "/throw") {
      EXPECT_TRUE(peer_answer.starts_with("HTTP/1.1 500 ")) << peer_answer;
    }
  }
}

Task<void> unanswered(ServerUnderTest& under) {
  auto peer = under.open();
  co_await peer.send("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto head = co_await peer.read_head();
  EXPECT_TRUE(head.starts_with("HTTP/1.1 500 ")) << head;
  const auto body = co_await peer.read_until("}}");
  EXPECT_NE(body.find("the request was not answered"), std::string::npos) << body;
}

TEST_F(HttpServerTest, AHandlerThatReturnsWithoutAnAnswerGets500) {
  run_task(loop, unanswered(under));
}

TEST_F(HttpServerTest, ASecondAnswerIsRefused) {
  const auto answer = ask("GET /twice HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(count_of(answer, "HTTP/1.1 "), 1U);
  ASSERT_FALSE(under.second_answer);
  EXPECT_EQ(under.second_answer.error().code, ErrorCode::kInternal);
}

Task<void> unread_body(ServerUnderTest& under) {
  auto peer = under.open();
  co_await peer.send("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nGET /next HTTP/1.1\r\n\r\n");
  const auto answer = co_await peer.read_to_end();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
  EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos) << answer;
  EXPECT_EQ(under.seen.size(), 1U);
  // The server still takes what was on its way, so that its answer is not lost in a reset.
  EXPECT_TRUE(co_await peer.send(std::string(50'000, 'x')));
  peer.close();
  co_await under.server.drained();
}

TEST_F(HttpServerTest, ABodyNobodyReadClosesTheConnection) {
  run_task(loop, unread_body(under));
}

Task<void> expect_continue(ServerUnderTest& under) {
  auto peer = under.open();
  co_await peer.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(co_await peer.read_head(), "HTTP/1.1 100 Continue\r\n\r\n");
  co_await peer.send("hi");
  EXPECT_EQ(body_of(co_await peer.read_until("hi")), "hi");
  // A body that is there already needs no invitation.
  co_await peer.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nh");
  co_await under.until_seen(2);
  co_await peer.send("o");
  EXPECT_TRUE((co_await peer.read_until("ho")).starts_with("HTTP/1.1 200 "));
  // A refused one is not invited.
  co_await peer.send("POST /unread HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_TRUE((co_await peer.read_to_end()).starts_with("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, Expect100Continue) {
  run_task(loop, expect_continue(under));
}

Task<void> upgrade(ServerUnderTest& under) {
  auto peer = under.open();
  co_await peer.send("GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
  EXPECT_EQ(co_await peer.read_head(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n");
  co_await peer.send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(co_await peer.read_head(), "GET / HTTP/1.1\r\n\r\n") << "echoed, not parsed";
  peer.close();
  co_await under.server.drained();
}

TEST_F(HttpServerTest, UpgradeHandsTheConnectionOver) {
  run_task(loop, upgrade(under));
}

Task<void> early_upgrade(ServerUnderTest& under, std::string early) {
  auto peer = under.open();
  co_await peer.send("GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n" + early);
  const auto answer = co_await peer.read_to_end();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
  EXPECT_EQ(count_of(answer, "HTTP/1.1 "), 1U) << answer;
}

TEST_F(HttpServerTest, BytesBehindAnUpgradeRequestAreRefused) {
  run_task(loop, early_upgrade(under, "\x81"));
  run_task(loop, early_upgrade(under, std::string(kNext)));
  EXPECT_EQ(under.seen.size(), 2U);
}

TEST_F(HttpServerTest, AHandlersHeadersCannotSplitTheAnswer) {
  HttpServer server({&loop}, {}, [](Exchange& exchange) -> Task<void> {
    exchange.response_headers().add("X-Evil", "a\r\nX-Injected: b");
    co_await exchange.respond(200, "text/plain\r\nX-Injected: c", "");
  });
  auto [ours, theirs] = std::move(*make_pipe(loop.executor()));
  RawPeer peer(loop, std::move(theirs));
  const auto ask_it = [](HttpServer& asked, std::unique_ptr<Transport> transport, RawPeer& from) -> Task<void> {
    asked.serve(std::move(transport), {true, "unix"});
    co_await from.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const auto answer = co_await from.read_to_end();
    EXPECT_EQ(answer.find("\r\nX-Injected"), std::string::npos) << answer;
    co_await asked.drained();
  };
  run_task(loop, ask_it(server, std::move(ours), peer));
}

}  // namespace
}  // namespace llm::net
