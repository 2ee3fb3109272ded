// Time-outs, limits, clients that go away, and stopping. Time-outs are set tiny and their effect awaited; nothing is
// asserted about how long it took.
#include <filesystem>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "net/address.h"
#include "net/http_client.h"
#include "net/server_under_test.h"

namespace llm::net {
namespace {

using namespace std::chrono_literals;

Task<void> read_answer_to(ServerUnderTest& under, std::string request, std::string& answer) {
  auto peer = under.open();
  co_await peer.send(request);
  answer = co_await peer.read_to_end();
  peer.close();
  co_await under.server.drained();
}

TEST(HttpServerLimits, ASlowHeaderGets408) {
  Loop loop("test");
  ServerUnderTest under(loop, {.header_timeout = 60ms});
  std::string answer;
  run_task(loop, read_answer_to(under, "GET / HT", answer));
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n")) << answer;
}

// Bytes that keep coming do not push the header's deadline back.
Task<void> drip(ServerUnderTest& under) {
  auto peer = under.open();
  co_await peer.send("GET / HTTP/1.1\r\nHost: a\r\n");
  while (!peer.ended() && co_await peer.send("X: y\r\n")) co_await sleep_for(5ms);
  EXPECT_TRUE((co_await peer.read_to_end()).starts_with("HTTP/1.1 408 "));
  peer.close();
  co_await under.server.drained();
}

TEST(HttpServerLimits, ADrippedHeaderGets408) {
  Loop loop("test");
  ServerUnderTest under(
      loop, {.message = {.max_header_bytes = 1 << 20, .max_header_count = 100'000}, .header_timeout = 60ms});
  run_task(loop, drip(under));
  EXPECT_TRUE(under.seen.empty());
}

TEST(HttpServerLimits, ASlowBodyGets408) {
  Loop loop("test");
  ServerUnderTest under(loop, {.body_timeout = 60ms});
  std::string answer;
  run_task(loop, read_answer_to(under, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf", answer));
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 408 ")) << answer;
  EXPECT_EQ(under.body_read.error().code, ErrorCode::kTimeout);
}

TEST(HttpServerLimits, AnIdleConnectionIsClosedWithoutAWord) {
  Loop loop("test");
  ServerUnderTest under(loop, {.idle_timeout = 60ms});
  std::string answer;
  run_task(loop, read_answer_to(under, "", answer));
  EXPECT_EQ(answer, "");
  run_task(loop, read_answer_to(under, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", answer));
  EXPECT_EQ(count_of(answer, "HTTP/1.1 "), 1U);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 "));
}

Task<void> never_reads(ServerUnderTest& under) {
  auto peer = under.open();
  co_await peer.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
  co_await under.until_write_failed();
  co_await under.server.drained();
  EXPECT_EQ(under.cancelled, 1);
  EXPECT_LT(under.sent, 4U * 1024 * 1024) << "what the kernel's buffers hold, not more";
}

TEST(HttpServerLimits, AClientThatDoesNotReadIsCutAndCostsNoMemory) {
  Loop loop("test");
  ServerUnderTest under(loop, {.write_timeout = 60ms});
  run_task(loop, never_reads(under));
}

Task<void> endless_body(ServerUnderTest& under) {
  auto peer = under.open();
  co_await peer.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "1000\r\n" + std::string(0x1000, 'x') + "\r\n";
  for (int i = 0; i < 100; ++i) co_await peer.send(chunk);
  EXPECT_TRUE((co_await peer.read_until("\r\n\r\nno")).starts_with("HTTP/1.1 413 "));
  // What is still on its way is thrown away until the client has seen the answer.
  co_await peer.send(chunk);
  peer.close();
  co_await under.server.drained();
}

TEST(HttpServerLimits, AnEndlessChunkedBodyGets413) {
  Loop loop("test");
  ServerUnderTest under(loop, {.message = {.max_body_bytes = 65536}});
  run_task(loop, endless_body(under));
  EXPECT_EQ(under.body_read.error().code, ErrorCode::kPayloadTooLarge);
}

Task<void> goes_away(ServerUnderTest& under, std::string target) {
  auto peer = under.open();
  co_await peer.send("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n");
  co_await under.until_seen(1);
  if (target == "/endless") co_await peer.read_until("xxx");
  peer.close();
  co_await under.until_cancelled(1);
  co_await under.server.drained();
}

TEST(HttpServerLimits, AClientThatGoesAwayCancelsItsRequest) {
  for (const std::string target : {"/wait", "/endless"}) {
    Loop loop("test");
    ServerUnderTest under(loop);
    run_task(loop, goes_away(under, target));
    EXPECT_EQ(under.cancelled, 1) << target;
  }
}

Task<void> goes_away_in_the_body(ServerUnderTest& under) {
  auto peer = under.open();
  co_await peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
  co_await under.until_seen(1);
  peer.close();
  co_await under.server.drained();
  EXPECT_EQ(under.body_read.error().code, ErrorCode::kCancelled);
}

TEST(HttpServerLimits, AClientThatGoesAwayInTheBodyCancelsReading) {
  Loop loop("test");
  ServerUnderTest under(loop);
  run_task(loop, goes_away_in_the_body(under));
}

Task<Result<RawPeer>> dial(Loop& loop, std::uint16_t port) {
  auto transport = co_await connect(loop, {.host = "127.0.0.1", .port = port}, 5s, {});
  if (!transport) co_return fail(transport.error());
  co_return RawPeer(loop, std::move(*transport));
}

Task<void> too_many(ServerUnderTest& under, std::uint16_t port) {
  auto first = (co_await dial(under.loop, port)).value();
  co_await first.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  co_await under.until_seen(1);
  auto second = (co_await dial(under.loop, port)).value();
  const auto answer = co_await second.read_to_end();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n")) << answer;
  EXPECT_NE(answer.find("Content-Length: " + std::to_string(body_of(answer).size()) + "\r\n"), std::string::npos);
  first.close();
  co_await under.until_cancelled(1);
  co_await under.stop();
}

TEST(HttpServerLimits, OneConnectionTooManyGets503) {
  Loop loop("test");
  ServerUnderTest under(loop, {.max_connections = 1});
  const int fd = listen_tcp("127.0.0.1", 0).value();
  under.server.accept_on(fd);
  run_task(loop, too_many(under, local_port(fd)));
}

Task<void> stop_first_phase(ServerUnderTest& under, std::uint16_t port) {
  auto idle = (co_await dial(under.loop, port)).value();
  co_await idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  co_await idle.read_head();
  auto busy = (co_await dial(under.loop, port)).value();
  co_await busy.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n");
  auto half = (co_await dial(under.loop, port)).value();
  co_await half.send("GET /half HTTP/1.1\r\n");
  co_await under.until_seen(2);
  while (under.server.connections() < 3) co_await boost::asio::post(under.loop.executor(), use_task);

  under.server.stop_accepting();
  EXPECT_EQ(co_await idle.read_to_end(), "") << "idle connections close";
  EXPECT_FALSE(co_await dial(under.loop, port)) << "nobody listens any more";
  co_await half.send("Host: a\r\n\r\n");
  EXPECT_NE((co_await half.read_to_end()).find("\r\nConnection: close\r\n"), std::string::npos);
  EXPECT_EQ(under.server.connections(), 1U);
  under.open_gate();
  const auto answer = co_await busy.read_to_end();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
  EXPECT_NE(answer.find("\r\nConnection: close\r\n"), std::string::npos) << answer;
  co_await under.server.drained();
  EXPECT_EQ(under.server.connections(), 0U);
}

TEST(HttpServerLimits, StoppingLetsRunningRequestsFinish) {
  Loop loop("test");
  ServerUnderTest under(loop);
  const int fd = listen_tcp("127.0.0.1", 0).value();
  under.server.accept_on(fd);
  run_task(loop, stop_first_phase(under, local_port(fd)));
}

Task<void> stop_second_phase(ServerUnderTest& under) {
  auto waiting = under.open();
  co_await waiting.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  auto stuck = under.open();
  co_await stuck.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
  auto uploading = under.open();
  co_await uploading.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
  auto half = under.open();
  co_await half.send("GET /ha");
  co_await under.until_seen(3);
  under.server.stop_accepting();
  under.server.cancel();
  co_await under.server.drained();
  EXPECT_EQ(under.cancelled, 2);
  EXPECT_EQ(co_await waiting.read_to_end(), "");
}

TEST(HttpServerLimits, CancelEndsTheRest) {
  Loop loop("test");
  ServerUnderTest under(loop);
  run_task(loop, stop_second_phase(under));
}

Task<void> many_requests(Loop& loop, std::uint16_t port, int count, int& answered, TaskGroup& group);

Task<void> one_of_many(Loop& loop, std::uint16_t port, int& answered) {
  auto peer = (co_await dial(loop, port)).value();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(co_await peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nping"));
    if (body_of(co_await peer.read_until("ping")) == "ping") ++answered;
  }
}

Task<void> many_requests(Loop& loop, std::uint16_t port, int count, int& answered, TaskGroup& group) {
  for (int i = 0; i < count; ++i) group.spawn(one_of_many(loop, port, answered));
  co_await group.join();
}

Task<void> echo(Exchange& exchange) {
  if (co_await exchange.read_body()) co_await exchange.respond(200, "text/plain", exchange.body());
}

Task<void> stop_server(HttpServer& server, Loop& other) {
  server.stop_accepting();
  co_await server.drained();
  other.stop();
}

TEST(HttpServerLimits, TwoHundredConnectionsOverTwoLoops) {
  Loop first("first");
  Loop second("second");
  Loop client("client");
  {
    HttpServer server({&first, &second}, {}, echo);
    const int fd = listen_tcp("127.0.0.1", 0).value();
    server.accept_on(fd);
    first.start();
    second.start();
    int answered = 0;
    TaskGroup group(client.executor());
    run_task(client, many_requests(client, local_port(fd), 200, answered, group));
    EXPECT_EQ(answered, 600);
    Loop& loop = first;
    boost::asio::co_spawn(loop.executor(), stop_server(server, second), [&](std::exception_ptr) { loop.stop(); });
    first.join();
    second.join();
    EXPECT_EQ(server.connections(), 0U);
  }
}

TEST(HttpServerLimits, ALoopMayEndWithConnectionsOpen) {
  auto loop = std::make_unique<Loop>("test");
  auto under = std::make_unique<ServerUnderTest>(*loop);
  std::vector<RawPeer> peers;
  const auto start = [](ServerUnderTest& server, std::vector<RawPeer>& all) -> Task<void> {
    for (const std::string request :
         {"", "GE", "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n", "GET /endless HTTP/1.1\r\nHost: a\r\n\r\n",
          "GET /upgrade HTTP/1.1\r\nHost: a\r\n\r\n"}) {
      all.push_back(server.open());
      co_await all.back().send(request);
    }
    co_await server.until_seen(3);
  };
  run_task(*loop, start(*under, peers));
  peers.clear();
  under.reset();
  loop.reset();  // frees what still waits; the leak checker looks on
}

}  // namespace
}  // namespace llm::net
