// What ends a request early: time-outs and cancellation, in each of its phases.
#include <gtest/gtest.h>

#include "net/http_client.h"
#include "net/scripted_engine.h"

namespace llm::net {
namespace {

using namespace std::chrono_literals;

TEST_F(HttpClientTest, AnAnswerThatDoesNotComeInTime) {
  for (const std::string answer : {"", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX:"}) {
    bool closed = false;
    play(expect_error(client, endpoint, {.head_timeout = 60ms}, ErrorCode::kEngineTimeout),
         wait_for_close(engine, answer, closed));
    EXPECT_TRUE(closed);
  }
}

Task<void> take_nothing(RawListener& engine, Event& over, const CancelSource* cancel = nullptr) {
  auto peer = co_await engine.accept();
  if (cancel) cancel->cancel();
  co_await over.wait();
}

Task<void> send_to_the_deaf(HttpClient& client, const Endpoint& endpoint, Event& over) {
  const std::string body(16 * 1024 * 1024, 'x');
  const auto response = co_await client.send(endpoint, {.method = "POST", .body = body, .head_timeout = 60ms}, {});
  EXPECT_EQ(response.error().code, ErrorCode::kEngineTimeout);
  over.notify();
}

TEST_F(HttpClientTest, AnEngineThatDoesNotTakeTheRequest) {
  Event over(loop.executor());
  play(send_to_the_deaf(client, endpoint, over), take_nothing(engine, over));
}

Task<void> stalled(HttpClient& client, const Endpoint& endpoint) {
  auto response = co_await client.send(endpoint, {.stall_timeout = 60ms}, {});
  EXPECT_EQ((co_await response->read()).value(), "he");
  EXPECT_EQ((co_await response->read()).error().code, ErrorCode::kEngineTimeout);
}

TEST_F(HttpClientTest, ABodyThatStalls) {
  bool closed = false;
  play(stalled(client, endpoint), wait_for_close(engine, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", closed));
  EXPECT_TRUE(closed);
}

Task<void> cancelled_waiting(HttpClient& client, const Endpoint& endpoint, CancelSource& source) {
  const auto response = co_await client.send(endpoint, {}, source.token());
  EXPECT_EQ(response.error().code, ErrorCode::kCancelled);
}

TEST_F(HttpClientTest, CancelWhileWaitingForTheAnswerClosesTheConnection) {
  CancelSource source;
  bool closed = false;
  play(cancelled_waiting(client, endpoint, source), wait_for_close(engine, "", closed, &source));
  EXPECT_TRUE(closed);
}

TEST_F(HttpClientTest, CancelledBeforeItBegan) {
  CancelSource source;
  source.cancel();
  run_task(loop, cancelled_waiting(client, endpoint, source));
}

Task<void> cancelled_reading(HttpClient& client, const Endpoint& endpoint, CancelSource& source) {
  auto response = co_await client.send(endpoint, {}, source.token());
  EXPECT_EQ((co_await response->read()).value(), "he");
  source.cancel();
  EXPECT_EQ((co_await response->read()).error().code, ErrorCode::kCancelled);
}

TEST_F(HttpClientTest, CancelWhileReadingClosesTheConnection) {
  CancelSource source;
  bool closed = false;
  play(cancelled_reading(client, endpoint, source),
       wait_for_close(engine, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", closed));
  EXPECT_TRUE(closed);
}

Task<void> cancelled_sending(HttpClient& client, const Endpoint& endpoint, CancelSource& source, Event& over) {
  const std::string body(16 * 1024 * 1024, 'x');
  const auto response = co_await client.send(endpoint, {.method = "POST", .body = body}, source.token());
  EXPECT_EQ(response.error().code, ErrorCode::kCancelled);
  over.notify();
}

TEST_F(HttpClientTest, CancelWhileSending) {
  CancelSource source;
  Event over(loop.executor());
  play(cancelled_sending(client, endpoint, source, over), take_nothing(engine, over, &source));
}

}  // namespace
}  // namespace llm::net
