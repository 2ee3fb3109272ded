#pragma once

#include <gtest/gtest.h>
#include <stdexcept>
#include <string>
#include <vector>

#include "async/run_task.h"
#include "net/http_server.h"
#include "net/raw_messages.h"
#include "net/raw_peer.h"

namespace llm::net {

// For tests: a server whose handler does what the target says, and notes what happened.
//   /wait     until the exchange is cancelled, then nothing        /gate    answers once open_gate() was called
//   /endless  a stream without end                                 /silent  returns without an answer
//   /throw    throws                                               /unread  answers without reading the body
//   /cut      a stream without its end                             /twice   answers two times
//   /stream   "one" and "two" as a stream                          /upgrade takes the connection over and echoes
//   /empty    204                                                  other    echoes the body
class ServerUnderTest {
 public:
  explicit ServerUnderTest(Loop& loop, ServerSettings settings = {}) : ServerUnderTest({&loop}, settings) {}
  ServerUnderTest(std::vector<Loop*> loops, ServerSettings settings)
      : loop(*loops.front()),
        server(loops, settings, [this](Exchange& exchange) { return handle(exchange); }),
        changed_(loop.executor()),
        gate_(loop.executor()) {}

  // A connection over a pipe; call on the loop.
  RawPeer open() {
    auto [ours, theirs] = std::move(*make_pipe(loop.executor()));
    server.serve(std::move(ours), {true, "unix"});
    return {loop, std::move(theirs)};
  }
  void open_gate() { gate_.notify(); }
  Task<void> until_seen(std::size_t requests) {
    while (seen.size() < requests) co_await changed_.wait();
  }
  Task<void> until_cancelled(int count) {
    while (cancelled < count) co_await changed_.wait();
  }
  Task<void> until_write_failed() {
    while (!write_failed) co_await changed_.wait();
  }
  Task<void> stop() {
    server.stop_accepting();
    server.cancel();
    co_await server.drained();
  }

  Loop& loop;
  HttpServer server;
  std::vector<std::string> seen;  // targets in the order of their requests
  Peer peer;                      // of the last one
  int cancelled = 0;              // handlers that were told so
  bool write_failed = false;
  std::uint64_t sent = 0;  // bytes that /endless has written
  Result<void> body_read;  // of the last request that read one
  Result<void> second_answer;

 private:
  void note(int& what) {
    ++what;
    changed_.notify();
  }

  Task<void> handle(Exchange& exchange) {
    seen.emplace_back(exchange.target());
    peer = exchange.peer();
    changed_.notify();
    const std::string target(exchange.target());
    if (target == "/silent") co_return;
    if (target == "/throw") throw std::runtime_error("a bug");
    if (target == "/wait") co_return co_await wait(exchange);
    if (target == "/endless") co_return co_await endless(exchange);
    if (target == "/upgrade") co_return co_await upgrade(exchange);
    if (target == "/cut" || target == "/stream") co_return co_await stream(exchange, target == "/stream");
    if (target == "/gate") co_await gate_.wait();
    if (target == "/empty") {
      co_await exchange.respond(204, {}, {});
      co_return;
    }
    if (target != "/unread") {
      body_read = co_await exchange.read_body();
      if (!body_read) {
        co_await exchange.respond(describe(body_read.error().code).http_status, "text/plain", "no");
        co_return;
      }
    }
    co_await exchange.respond(200, "text/plain", exchange.body());
    if (target == "/twice") second_answer = co_await exchange.respond(200, "text/plain", "again");
  }

  Task<void> wait(Exchange& exchange) {
    Event woken(loop.executor());
    const auto registration = exchange.cancelled().on_cancel([&] { woken.notify(); });
    while (!exchange.cancelled().cancelled()) co_await woken.wait();
    note(cancelled);
  }

  Task<void> stream(Exchange& exchange, bool end) {
    co_await exchange.begin_stream(200, "text/plain");
    co_await exchange.write("one");
    co_await exchange.write("two");
    if (end) co_await exchange.end_stream();
  }

  Task<void> endless(Exchange& exchange) {
    const auto registration = exchange.cancelled().on_cancel([&] { note(cancelled); });
    const std::string piece(16 * 1024, 'x');
    co_await exchange.begin_stream(200, "text/plain");
    while (co_await exchange.write(piece)) {
      sent += piece.size();
      co_await boost::asio::post(loop.executor(), use_task);
    }
    write_failed = true;
    changed_.notify();
  }

  Task<void> upgrade(Exchange& exchange) {
    auto upgraded = co_await exchange.upgrade("echo");
    if (!upgraded) {
      co_await exchange.respond(describe(upgraded.error().code).http_status, "text/plain", "early");
      co_return;
    }
    while (co_await upgraded->input->wait_more()) {
      const std::string bytes(upgraded->input->data());
      upgraded->input->consume(bytes.size());
      const std::array<std::string_view, 1> pieces{bytes};
      co_await upgraded->transport->write(pieces);
    }
  }

  Event changed_;
  Event gate_;
};

inline constexpr ServerSettings kRawSettings{.message = kRawLimits};

inline std::size_t count_of(std::string_view text, std::string_view what) {
  std::size_t count = 0;
  for (auto at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) ++count;
  return count;
}
inline std::string body_of(const std::string& answer) {
  const auto end = answer.find("\r\n\r\n");
  return end == std::string::npos ? "" : answer.substr(end + 4);
}

}  // namespace llm::net
