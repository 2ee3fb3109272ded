#include "api/websocket/session.h"

#include <array>
#include <deque>
#include <gmock/gmock.h>

#include "api/access_under_test.h"
#include "net/websocket_codec.h"

namespace llm::api {
namespace {

using inference::ScriptedUpstream;
using inference::sse;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kText = R"({"id":"c","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]})";
const std::string kEnd = R"({"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})";

// The other end of the socket.
class Client {
 public:
  explicit Client(ApiUnderTest& t) {
    auto [ours, theirs] = std::move(*net::make_pipe(t.back.loop.executor()));
    t.server.serve(std::move(ours), t.peer);
    transport_ = std::move(theirs);
    input_ = std::make_unique<net::InputBuffer>(*transport_, t.back.loop.executor(), 256 * 1024);
  }
  // `more`: further lines of the handshake.
  Task<void> open(std::string more = "") {
    co_await raw("GET /api/v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + more +
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    std::size_t end = std::string_view::npos;
    while ((end = input_->data().find("\r\n\r\n")) == std::string_view::npos) co_await input_->wait_more();
    EXPECT_TRUE(input_->data().starts_with("HTTP/1.1 101 "));
    EXPECT_THAT(std::string(input_->data()), HasSubstr("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    handshake = std::string(input_->data().substr(0, end + 4));
    input_->consume(end + 4);
  }
  Task<void> raw(std::string bytes) {
    const std::array<std::string_view, 1> pieces{bytes};
    (void)co_await transport_->write(pieces);
  }
  Task<void> send(std::string text, net::WebSocketOpcode opcode = net::WebSocketOpcode::kText) {
    std::string frame;
    net::append_frame(frame, opcode, text, net::random_mask());
    co_await raw(std::move(frame));
  }
  // The next text message as an object; empty at the end, when close_code() says why.
  Task<json::object> receive() {
    while (events_.empty() && !closed_) {
      if (!input_->data().empty()) {
        const auto bytes = input_->data();
        EXPECT_TRUE(decoder_.feed(bytes, [this](const net::WebSocketEvent& event) { on_event(event); }));
        input_->consume(bytes.size());
      } else if (input_->ended() || !co_await input_->wait_more()) {
        if (input_->ended() && input_->data().empty()) break;
      }
    }
    if (events_.empty()) co_return json::object();
    auto event = std::move(events_.front());
    events_.pop_front();
    co_return event;
  }
  // The next message of this type, for this id.
  Task<json::object> receive(std::string type, std::string id) {
    while (true) {
      auto event = co_await receive();
      if (event.empty() || (json::string_or(event, "type") == type && json::string_or(event, "id") == id))
        co_return event;
    }
  }
  Task<std::uint16_t> close() {
    std::string frame;
    net::append_close(frame, net::kWebSocketNormal, "", net::random_mask());
    co_await raw(std::move(frame));
    while (!(co_await receive()).empty()) {
    }
    co_return close_code_;
  }
  void drop() { transport_->close(); }
  std::uint16_t close_code() const { return close_code_; }

  std::string handshake;  // the answer to it

 private:
  void on_event(const net::WebSocketEvent& event) {
    if (event.kind == net::WebSocketEvent::Kind::kText) {
      auto parsed = json::parse(event.payload);
      EXPECT_TRUE(parsed && parsed->is_object()) << event.payload;
      if (parsed && parsed->is_object()) events_.push_back(std::move(parsed->get_object()));
    } else if (event.kind == net::WebSocketEvent::Kind::kClose) {
      closed_ = true;
      close_code_ = event.close_code;
    }
  }

  std::unique_ptr<net::Transport> transport_;
  std::unique_ptr<net::InputBuffer> input_;
  net::WebSocketDecoder decoder_{net::WebSocketRole::kClient, {.max_message_bytes = 64 << 20}};
  std::deque<json::object> events_;
  bool closed_ = false;
  std::uint16_t close_code_ = 0;
};

std::string generate(const std::string& id) {
  return R"({"type":"chat","id":")" + id + R"(","model":"m","messages":[{"role":"user","content":"a"}]})";
}
net::WebSocketSettings small_queue(std::size_t bytes) {
  net::WebSocketSettings settings;
  settings.queue_bytes = bytes;
  return settings;
}
std::string message_of(const json::object& event) {
  const auto* error = json::find(event, "error");
  return error && error->is_object() ? std::string(json::string_or(error->get_object(), "message")) : "";
}

TEST(WebSocketSession, GeneratesAndAnswersPings) {
  ApiUnderTest t;
  t.back.upstream.script = ScriptedUpstream::stream({sse(kText) + sse(kText) + sse(kEnd) + sse("[DONE]")});
  auto body = [&]() -> Task<void> {
    Client client(t);
    co_await client.open();
    co_await client.send(R"({"type":"ping","id":7})");
    EXPECT_EQ(json::write(co_await client.receive()), R"({"type":"pong","id":7})");
    co_await client.send(generate("1"));
    const auto token = co_await client.receive("token", "1");
    EXPECT_EQ(token.at("text"), "hihi");  // what came together goes out together
    EXPECT_EQ(token.at("tokens"), 2);
    const auto done = co_await client.receive("done", "1");
    EXPECT_EQ(done.at("finish_reason"), "stop");
    EXPECT_FALSE(done.contains("text"));
    EXPECT_EQ(co_await client.close(), net::kWebSocketNormal);
  };
  t.run(body());
}

TEST(WebSocketSession, ManyAtOnceAndIdsAreFreeAgain) {
  ApiUnderTest t;
  t.back.upstream.script = ScriptedUpstream::stream({sse(kText) + sse(kEnd) + sse("[DONE]")});
  auto body = [&]() -> Task<void> {
    Client client(t);
    co_await client.open();
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 20; ++i) co_await client.send(generate(std::to_string(i)));
      std::map<std::string, int> done;
      while (done.size() < 20) {
        const auto event = co_await client.receive();
        EXPECT_FALSE(event.empty() || event.contains("error")) << json::write(event);
        if (event.empty()) co_return;
        if (json::string_or(event, "type") == "done") ++done[std::string(json::string_or(event, "id"))];
      }
    }
    // A client may use the id again as soon as it has read "done".
    for (int i = 0; i < 20; ++i) {
      co_await client.send(generate("same"));
      EXPECT_FALSE((co_await client.receive("done", "same")).empty());
    }
    (void)co_await client.close();
  };
  t.run(body());
}

TEST(WebSocketSession, CancelStopsOneGeneration) {
  ApiUnderTest t;
  t.back.upstream.script = t.back.upstream.stall(sse(kText));
  auto body = [&]() -> Task<void> {
    Client client(t);
    co_await client.open();
    co_await client.send(generate("a"));
    co_await client.send(generate("b"));
    (void)co_await client.receive("token", "a");
    (void)co_await client.receive("token", "b");
    co_await client.send(R"({"type":"cancel","id":"a"})");
    const auto done = co_await client.receive("done", "a");
    EXPECT_EQ(done.at("finish_reason"), "cancelled");
    EXPECT_EQ(done.at("usage").at("completion_tokens"), 1);
    co_await t.back.upstream.until_cancelled(1);
    EXPECT_EQ(t.back.service.in_flight(), 1U);
    co_await client.send(R"({"type":"cancel","id":"a"})");
    EXPECT_THAT(message_of(co_await client.receive("error", "a")), HasSubstr("no generation of that id"));
    (void)co_await client.close();
    co_await t.back.upstream.until_cancelled(2);
  };
  t.run(body());
}

TEST(WebSocketSession, MistakesAreAnsweredAndTheSocketLives) {
  ApiUnderTest t;
  t.back.upstream.script = t.back.upstream.stall(sse(kText));
  auto body = [&]() -> Task<void> {
    Client client(t);
    co_await client.open();
    for (const auto& [text, says] : std::vector<std::pair<std::string, std::string>>{
             {"{oops", "line 1"},
             {"[1]", "expected a JSON object"},
             {"{}", "expected one of"},
             {R"({"type":5})", "expected one of"},
             {R"({"type":"generate"})", "names this generation"},
             {R"({"type":"generate","id":""})", "names this generation"},
             {R"({"type":"generate","id":5})", "names this generation"},
             {R"({"type":"generate","id":"1"})", "missing required field"},
             {R"({"type":"generate","id":"1","prompt":"a","temprature":1})", "temprature"},
             {R"({"type":"generate","id":"1","model":"nobody","prompt":"a"})", "is not installed"},
             {R"({"type":"cancel","id":"1"})", "no generation of that id"}}) {
      co_await client.send(text);
      const auto event = co_await client.receive();
      EXPECT_EQ(json::string_or(event, "type"), "error") << text;
      EXPECT_THAT(message_of(event), HasSubstr(says)) << text;
    }
    co_await client.send("binary", net::WebSocketOpcode::kBinary);
    EXPECT_THAT(message_of(co_await client.receive()), HasSubstr("not binary"));
    co_await client.send(generate("1"));
    (void)co_await client.receive("token", "1");
    co_await client.send(generate("1"));
    EXPECT_THAT(message_of(co_await client.receive("error", "1")), HasSubstr("a generation of that id is running"));
    EXPECT_EQ(t.back.service.in_flight(), 1U);
    (void)co_await client.close();
  };
  t.run(body());
}

TEST(WebSocketSession, ClosingOrLeavingStopsAllGenerations) {
  for (const bool politely : {true, false}) {
    ApiUnderTest t;
    t.back.upstream.script = t.back.upstream.stall(sse(kText));
    auto body = [&]() -> Task<void> {
      Client client(t);
      co_await client.open();
      for (const auto* id : {"a", "b", "c"}) co_await client.send(generate(id));
      co_await t.back.upstream.until_seen(3);
      if (politely) {
        EXPECT_EQ(co_await client.close(), net::kWebSocketNormal);
      } else {
        client.drop();
      }
      co_await t.back.upstream.until_cancelled(3);
      while (t.server.connections() > 0) co_await t.back.settle();
      EXPECT_EQ(t.back.service.in_flight(), 0U);
    };
    t.run(body());
  }
}

TEST(WebSocketSession, AStoppingServerSaysGoingAway) {
  ApiUnderTest t;
  t.back.upstream.script = t.back.upstream.stall(sse(kText));
  auto body = [&]() -> Task<void> {
    Client client(t);
    co_await client.open();
    co_await client.send(generate("a"));
    co_await t.back.upstream.until_seen(1);
    TaskGroup group(t.back.loop.executor());
    group.spawn(t.stop_server());
    while (!(co_await client.receive()).empty()) {
    }
    EXPECT_EQ(client.close_code(), net::kWebSocketGoingAway);
    (void)co_await client.close();
    co_await group.join();
    co_await t.back.upstream.until_cancelled(1);
  };
  t.run(body());
}

TEST(WebSocketSession, AProtocolViolationClosesIt) {
  ApiUnderTest t;
  auto body = [&]() -> Task<void> {
    Client client(t);
    co_await client.open();
    std::string unmasked;
    net::append_frame(unmasked, net::WebSocketOpcode::kText, "{}");
    co_await client.raw(unmasked);
    EXPECT_TRUE((co_await client.receive()).empty());
    EXPECT_EQ(client.close_code(), net::kWebSocketProtocolError);
    while (t.server.connections() > 0) co_await t.back.settle();
  };
  t.run(body());
}

TEST(WebSocketSession, ASlowReaderSlowsItsGenerationsOnly) {
  ApiUnderTest t(make_routes(), small_queue(64 * 1024));
  t.back.upstream.script =
      t.back.upstream.endless(sse(R"({"choices":[{"delta":{"content":")" + std::string(30'000, 'x') + "\"}}]}"));
  auto body = [&]() -> Task<void> {
    Client slow(t);
    co_await slow.open();
    co_await slow.send(generate("a"));
    std::uint64_t before = 1;
    while (t.back.upstream.sent == 0 || t.back.upstream.sent != before) {  // until nothing moves any more
      before = t.back.upstream.sent;
      for (int i = 0; i < 10; ++i) co_await t.back.settle();
    }
    EXPECT_LT(t.back.upstream.sent, 8'000'000U);
    Client other(t);
    co_await other.open();
    co_await other.send(R"({"type":"ping"})");
    EXPECT_EQ(json::string_or(co_await other.receive(), "type"), "pong");
    (void)co_await other.close();
    slow.drop();
    co_await t.back.upstream.until_cancelled(1);
  };
  t.run(body());
}

// Replies to a client that never reads pile up to a limit, then it is no longer read.
TEST(WebSocketSession, AFloodOfMistakesIsBounded) {
  ApiUnderTest t(make_routes(), small_queue(16 * 1024));
  auto body = [&]() -> Task<void> {
    Client client(t);
    co_await client.open();
    std::uint64_t sent = 0;
    TaskGroup group(t.back.loop.executor());
    auto flood = [&]() -> Task<void> {
      std::string frames;
      for (int i = 0; i < 200; ++i) net::append_frame(frames, net::WebSocketOpcode::kText, "{", net::random_mask());
      for (int i = 0; i < 5'000; ++i) {
        co_await client.raw(frames);
        ++sent;
      }
    };
    group.spawn(flood());
    std::uint64_t before = 1;
    while (sent == 0 || sent != before) {
      before = sent;
      for (int i = 0; i < 10; ++i) co_await t.back.settle();
    }
    EXPECT_LT(sent, 5'000U);
    client.drop();
    co_await group.join();
    while (t.server.connections() > 0) co_await t.back.settle();
  };
  t.run(body());
}

TEST(WebSocketSession, WhatIsNoHandshakeIsRefused) {
  ApiUnderTest t;
  auto body = [&]() -> Task<void> {
    const auto plain = co_await t.get("/api/v1/ws");
    EXPECT_EQ(status_of(plain), "426");
    EXPECT_EQ(field_of(plain, "Sec-WebSocket-Version"), "13");
    const auto foreign = co_await t.ask(
        "GET /api/v1/ws HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13");
    EXPECT_EQ(status_of(foreign), "403");
  };
  t.run(body());
}

// Browsers can show a token nowhere else than among the subprotocols; it does not come back.
TEST(WebSocketSession, ATokenAmongTheSubprotocols) {
  ProtectedApi t;
  const auto [key, id] = t.make_key("user");
  t.api.back.upstream.script = ScriptedUpstream::stream({sse(kText) + sse(kEnd) + sse("[DONE]")});
  auto body = [&]() -> Task<void> {
    Client client(t.api);
    co_await client.open("Sec-WebSocket-Protocol: llm-mcp, bearer." + key + "\r\n");
    EXPECT_EQ(field_of(client.handshake, "Sec-WebSocket-Protocol"), "llm-mcp");
    EXPECT_THAT(client.handshake, Not(HasSubstr(key)));
    co_await client.send(generate("1"));
    EXPECT_FALSE((co_await client.receive("done", "1")).empty());
    EXPECT_EQ(co_await client.close(), net::kWebSocketNormal);

    const std::string upgrade =
        "GET /api/v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13";
    for (const std::string& wrong : {std::string(), std::string("\r\nSec-WebSocket-Protocol: llm-mcp"),
                                     "\r\nSec-WebSocket-Protocol: bearer." + key,
                                     std::string("\r\nSec-WebSocket-Protocol: llm-mcp, bearer.llm_wrong")}) {
      auto peer = t.api.open();
      co_await peer.send(upgrade + wrong + "\r\n\r\n");
      EXPECT_THAT(co_await peer.read_until("\r\n\r\n"), HasSubstr("HTTP/1.1 401 ")) << wrong;
      peer.close();
    }
    // Never in the address, where logs would keep it.
    auto peer = t.api.open();
    co_await peer.send("GET /api/v1/ws?token=" + key + upgrade.substr(14) + "\r\n\r\n");
    EXPECT_THAT(co_await peer.read_until("\r\n\r\n"), HasSubstr("HTTP/1.1 401 "));
    peer.close();
  };
  t.api.run(body());
}

// A socket outlives its key: every message is asked anew.
TEST(WebSocketSession, ARevokedKeyEndsTheSocket) {
  ProtectedApi t;
  const auto [key, id] = t.make_key("user");
  auto body = [&]() -> Task<void> {
    Client client(t.api);
    co_await client.open("Authorization: Bearer " + key + "\r\n");
    co_await client.send(R"({"type":"ping"})");
    EXPECT_EQ(json::string_or(co_await client.receive(), "type"), "pong");
    EXPECT_TRUE(t.system().admin().revoke_key(id, {}, {}));
    co_await client.send(generate("1"));
    const auto error = co_await client.receive();
    EXPECT_EQ(json::string_or(error, "type"), "error");
    EXPECT_THAT(message_of(error), HasSubstr("does not hold any more"));
    EXPECT_TRUE((co_await client.receive()).empty());
    EXPECT_EQ(client.close_code(), net::kWebSocketPolicyViolation);
    EXPECT_TRUE(t.api.back.upstream.seen.empty());
  };
  t.api.run(body());
}

}  // namespace
}  // namespace llm::api
