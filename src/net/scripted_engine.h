#pragma once

#include <gtest/gtest.h>
#include <string>

#include "async/run_task.h"
#include "async/task_group.h"
#include "net/http_client.h"
#include "net/raw_messages.h"
#include "net/raw_peer.h"

namespace llm::net {

// A client and an engine that says what the test wants it to.
class HttpClientTest : public testing::Test {
 protected:
  HttpClientTest() : HttpClientTest(listen_tcp("127.0.0.1", 0).value()) {}
  explicit HttpClientTest(int fd) : endpoint{.host = "127.0.0.1", .port = local_port(fd)}, engine(loop, fd) {}

  // Runs a test's coroutine and what the engine does beside it.
  void play(Task<void> test, Task<void> script) {
    TaskGroup group(loop.executor());
    group.spawn(std::move(script));
    run_task(loop, std::move(test));
    run_task(loop, group.join());
  }

  Loop loop{"test"};
  Endpoint endpoint;
  RawListener engine;
  HttpClient client{loop, {.message = kRawLimits, .connect_timeout = std::chrono::seconds(5)}};
};

// Takes one request, gives an answer, and waits until the client closes.
inline Task<void> wait_for_close(RawListener& engine, std::string answer, bool& closed,
                                 const CancelSource* cancel = nullptr) {
  auto peer = co_await engine.accept();
  co_await peer.read_head();
  if (cancel) cancel->cancel();
  if (!answer.empty()) co_await peer.send(answer);
  co_await peer.read_to_end();
  closed = true;
}

inline Task<void> expect_error(HttpClient& client, const Endpoint& endpoint, ClientRequest request, ErrorCode code) {
  const auto response = co_await client.send(endpoint, std::move(request), {});
  EXPECT_FALSE(response);
  if (!response) {
    EXPECT_EQ(response.error().code, code) << response.error().message;
  }
}

}  // namespace llm::net
