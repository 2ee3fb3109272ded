#include "net/websocket.h"

#include <array>
#include <deque>

namespace llm::net {

WebSocket::WebSocket(Loop& loop, Upgraded connection, WebSocketSettings settings)
    : loop_(loop),
      transport_(std::move(connection.transport)),
      input_(std::move(connection.input)),
      settings_(settings),
      decoder_(WebSocketRole::kServer, settings.limits),
      writer_wake_(loop.executor()),
      ping_([this] {
        if (!alive_) {
          abort();
          return;
        }
        alive_ = false;
        append_frame(outbox_, WebSocketOpcode::kPing, "");
        wake_writer();
        loop_.wheel().arm(ping_, settings_.ping_interval);
      }),
      write_deadline_([this] { abort(); }) {
  loop_.wheel().arm(ping_, settings_.ping_interval);
}

WebSocket::~WebSocket() = default;

void WebSocket::wake_writer() {
  writer_wake_.notify();
}

void WebSocket::wake_senders() {
  drained_.update([](std::uint64_t& count) { ++count; });
}

void WebSocket::abort() {
  ended_ = true;
  closing_ = true;
  ping_.clear();
  transport_->close();
  input_->interrupt();
  wake_writer();
  wake_senders();
}

void WebSocket::close(std::uint16_t code, std::string_view reason) {
  if (closing_) return;
  closing_ = true;
  append_close(outbox_, code, reason);
  ping_.clear();
  if (write_deadline_.armed()) loop_.wheel().arm(write_deadline_, settings_.close_timeout);
  wake_writer();
  wake_senders();
  input_->interrupt();  // receive() returns
}

Task<void> WebSocket::run_writer() {
  std::string sending;
  while (!ended_) {
    if (outbox_.empty()) {
      if (closing_) break;
      co_await writer_wake_.wait();
      continue;
    }
    sending.swap(outbox_);
    outbox_.clear();
    loop_.wheel().arm(write_deadline_, closing_ ? settings_.close_timeout : settings_.write_timeout);
    const std::array<std::string_view, 1> pieces{sending};
    const auto written = co_await transport_->write(pieces);
    write_deadline_.clear();
    sending.clear();
    wake_senders();
    if (!written) {
      abort();
      break;
    }
  }
}

Task<void> WebSocket::finish() {
  bool late = false;
  Deadline last([this, &late] {
    late = true;
    input_->interrupt();
  });
  loop_.wheel().arm(last, settings_.close_timeout);
  while (!peer_closed_ && !ended_ && !late) {
    // The peer's close frame may be here already; and an interruption meant for receive() says nothing.
    if (!input_->data().empty()) {
      take_input();
      inbox_.clear();
    } else if (input_->ended()) {
      break;
    } else {
      co_await input_->wait_more();
    }
  }
  if (!ended_) transport_->shutdown_write();
  abort();
}

void WebSocket::on_event(const WebSocketEvent& event) {
  alive_ = true;
  switch (event.kind) {
    case WebSocketEvent::Kind::kText:
    case WebSocketEvent::Kind::kBinary:
      inbox_.push_back({event.kind == WebSocketEvent::Kind::kText, std::string(event.payload)});
      break;
    case WebSocketEvent::Kind::kPing:
      // A flood of pings must not grow the queue without end: while it is full they go unanswered.
      if (!closing_ && outbox_.size() < settings_.queue_bytes) {
        append_frame(outbox_, WebSocketOpcode::kPong, event.payload);
        wake_writer();
      }
      break;
    case WebSocketEvent::Kind::kPong:
      break;
    case WebSocketEvent::Kind::kClose:
      peer_closed_ = true;
      close(event.close_code == kWebSocketNoStatus ? std::uint16_t{kWebSocketNormal} : event.close_code, "");
      break;
  }
}

void WebSocket::take_input() {
  const auto bytes = input_->data();
  const auto decoded = decoder_.feed(bytes, [this](const WebSocketEvent& event) { on_event(event); });
  input_->consume(bytes.size());
  if (!decoded) {
    close(decoded.error().close_code, decoded.error().reason);
    peer_closed_ = true;  // what comes after a violation is not read
  }
}

Task<std::optional<WebSocket::Message>> WebSocket::receive() {
  while (true) {
    if (!inbox_.empty()) {
      Message message = std::move(inbox_.front());
      inbox_.pop_front();
      co_return message;
    }
    if (closing_ || ended_) co_return std::nullopt;
    if (!input_->data().empty()) {
      take_input();
      continue;
    }
    if (input_->ended() || !co_await input_->wait_more()) {
      if (!closing_) abort();
      co_return std::nullopt;
    }
  }
}

Task<bool> WebSocket::send(std::string text) {
  while (!closing_ && outbox_.size() > settings_.queue_bytes) {
    const auto seen = drained_.get().version;
    co_await drained_.changed(seen, {}, std::nullopt);
  }
  if (closing_) co_return false;
  append_frame(outbox_, WebSocketOpcode::kText, text);
  wake_writer();
  co_return true;
}

}  // namespace llm::net
