#pragma once

#include <array>
#include <csignal>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "async/run_task.h"
#include "async/task_group.h"
#include "mcp/client/client.h"
#include "mcp/client/stdio_link.h"
#include "net/raw_peer.h"
#include "observe/log_capture.h"

namespace llm::mcp {

inline constexpr std::string_view kDiscovered =
    R"({"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,)"
    R"("cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"peer","version":"1.2"}}})";
inline constexpr std::string_view kInitialized =
    R"({"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true}},)"
    R"("serverInfo":{"name":"old peer","version":"0.1"}})";

// For tests: a client over a pair of descriptors, and a server at their other end that says what the test wants.
struct ClientUnderTest : testing::Test {
  ClientUnderTest() { std::signal(SIGPIPE, SIG_IGN); }
  ~ClientUnderTest() override {
    if (client) run_task(loop, client->stop());
  }

  void make(ClientSettings settings = {}, ProgramSettings program = {}) {
    std::array<int, 2> fds{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds.data()), 0);
    net::Socket socket(loop.executor(), boost::asio::generic::stream_protocol(AF_UNIX, 0), fds[1]);
    peer = std::make_unique<net::RawPeer>(loop, net::make_plain_transport(std::move(socket)));
    program.label = "the server";
    auto link = std::make_unique<StdioLink>(loop, std::move(program), log.log(), ChildPipes{::dup(fds[0]), fds[0]});
    client = std::make_unique<Client>(loop, std::move(link), std::move(settings), log.log(), "the server");
  }

  // Runs the test's coroutine and what the server does beside it.
  void play(Task<void> test, Task<void> script) {
    TaskGroup group(loop.executor());
    group.spawn(std::move(script));
    run_task(loop, std::move(test));
    run_task(loop, group.join());
  }

  // The next message of the client; empty at the end.
  Task<json::object> next() {
    const std::string line = co_await peer->read_until("\n");
    auto parsed = json::parse(line);
    co_return parsed && parsed->is_object() ? parsed->get_object() : json::object();
  }
  Task<void> say(std::string line) {
    line.push_back('\n');
    co_await peer->send(std::move(line));
  }
  Task<void> answer(json::object request, std::string_view result) {
    std::string line;
    write_result(line, *RequestId::from(request.at("id")), result);
    co_await say(std::move(line));
  }
  Task<void> refuse(json::object request, int code) {
    std::string line;
    const auto id = *RequestId::from(request.at("id"));
    write_error(line, &id, {code, "no", {}});
    co_await say(std::move(line));
  }
  // The server's side of a handshake in 2026-07-28.
  Task<void> discover() { co_await answer(co_await next(), kDiscovered); }

  Loop loop{"test"};
  observe::LogCapture log;
  std::unique_ptr<net::RawPeer> peer;
  std::unique_ptr<Client> client;
};

inline std::string_view method_of(const json::object& message) {
  return json::string_or(message, "method");
}

}  // namespace llm::mcp
