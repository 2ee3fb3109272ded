#pragma once

#include <chrono>
#include <deque>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "async/loop.h"
#include "async/watch.h"
#include "net/http_server.h"
#include "net/websocket_codec.h"

namespace llm::net {

struct WebSocketSettings {
  WebSocketLimits limits;
  std::size_t queue_bytes = 1024 * 1024;            // unsent bytes before senders wait
  std::chrono::milliseconds ping_interval{30'000};  // without a sign of life for two of them the peer is gone
  std::chrono::milliseconds write_timeout{60'000};
  std::chrono::milliseconds close_timeout{2'000};  // for the peer to take our close frame, then to send its own
};

// A WebSocket after its handshake (RFC 6455), server side. One coroutine receives, any number send; everything queued
// goes out in one write. Pings are answered and sent here. Lives on one loop.
class WebSocket {
 public:
  WebSocket(Loop& loop, Upgraded connection, WebSocketSettings settings);
  ~WebSocket();
  WebSocket(const WebSocket&) = delete;
  WebSocket& operator=(const WebSocket&) = delete;

  // The writer; runs until everything up to the close frame is written or the connection broke. Spawn it once.
  Task<void> run_writer();
  // The end, after receive() returned nullopt and the writer has ended: awaits the peer's close frame for
  // close_timeout, then closes the transport.
  Task<void> finish();

  struct Message {
    bool text = true;
    std::string payload;
  };
  // The next message; nullopt once the connection is closing, for whatever reason.
  Task<std::optional<Message>> receive();

  // Queues a text message. Waits while more than queue_bytes are unsent, so a slow reader slows its own generations and
  // nothing else. False once the connection is closing: stop producing.
  Task<bool> send(std::string text);

  // Starts the closing handshake; idempotent. The code of the first call counts.
  void close(std::uint16_t code, std::string_view reason);
  // Without a handshake.
  void abort();

 private:
  void take_input();
  void on_event(const WebSocketEvent& event);
  void wake_writer();
  void wake_senders();

  Loop& loop_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<InputBuffer> input_;
  WebSocketSettings settings_;
  WebSocketDecoder decoder_;
  std::deque<Message> inbox_;
  std::string outbox_;
  Event writer_wake_;
  Watch<std::uint64_t> drained_;  // counts completed writes; senders that wait watch it
  Deadline ping_;
  Deadline write_deadline_;
  bool alive_ = true;     // the peer gave a sign of life since the last ping
  bool closing_ = false;  // our close frame is queued
  bool peer_closed_ = false;
  bool ended_ = false;  // nothing more is written
};

}  // namespace llm::net
