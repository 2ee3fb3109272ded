#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace llm::net {

// WebSocket (RFC 6455) without sockets: bytes in, events out; no extensions, both roles.

enum class WebSocketOpcode : std::uint8_t {  // section 5.2
  kContinuation = 0x0,
  kText = 0x1,
  kBinary = 0x2,
  kClose = 0x8,
  kPing = 0x9,
  kPong = 0xA,
};

// Close codes (section 7.4.1) that this program sends or gives a meaning to.
enum : std::uint16_t {
  kWebSocketNormal = 1000,
  kWebSocketGoingAway = 1001,
  kWebSocketProtocolError = 1002,
  kWebSocketNoStatus = 1005,  // never on the wire: a close frame came without a code
  kWebSocketInvalidUtf8 = 1007,
  kWebSocketPolicyViolation = 1008,
  kWebSocketTooBig = 1009,
  kWebSocketInternalError = 1011,
};

// May this code stand in a close frame? (7.4.1, 7.4.2 and the IANA registry: 1000-1003, 1007-1014, 3000-4999.)
bool valid_close_code(std::uint16_t code);

// Which end we are: a server takes masked frames only, a client unmasked ones only (5.1).
enum class WebSocketRole : std::uint8_t { kServer, kClient };

struct WebSocketEvent {
  enum class Kind : std::uint8_t { kText, kBinary, kPing, kPong, kClose };
  Kind kind;
  std::string_view payload;      // whole message, or ping/pong data, or the close reason; valid during the callback
  std::uint16_t close_code = 0;  // kClose: what the peer sent, kWebSocketNoStatus when nothing
};

// The connection cannot go on: send a close frame with `close_code`, then close the transport (7.1.7).
struct WebSocketFailure {
  std::uint16_t close_code;
  std::string reason;  // fits into a close frame: at most 123 bytes, no peer data in it
  friend bool operator==(const WebSocketFailure&, const WebSocketFailure&) = default;
};

struct WebSocketLimits {
  std::size_t max_message_bytes = 1 << 20;  // of one message, all fragments together
};

// UTF-8 (RFC 3629) checked over slices: fails at the first byte that cannot belong to any well-formed text.
class Utf8Stream {
 public:
  bool feed(std::string_view bytes);               // false: ill-formed
  bool complete() const { return missing_ == 0; }  // no sequence is cut off
  void reset() { missing_ = 0; }

 private:
  std::uint8_t missing_ = 0;  // continuation bytes that must follow
  std::uint8_t low_ = 0x80;   // bounds of the next one (not the usual 80..BF after E0, ED, F0, F4)
  std::uint8_t high_ = 0xBF;
};

// Decodes what the peer sends. Answering pings and closes is the caller's work. After a close frame the rest of the
// input is ignored (5.5.1). Memory grows with bytes received, never with lengths announced. Not thread-safe.
class WebSocketDecoder {
 public:
  explicit WebSocketDecoder(WebSocketRole role, WebSocketLimits limits = {}) : role_(role), limits_(limits) {}

  // Calls `on_event(const WebSocketEvent&)` for each message or control frame that `bytes` completes. The callback
  // must not touch the decoder. A failure is final: later calls return it again.
  template <class OnEvent>
  std::expected<void, WebSocketFailure> feed(std::string_view bytes, OnEvent&& on_event) {
    using Function = std::remove_reference_t<OnEvent>;
    return feed_to(
        bytes, Callback{const_cast<void*>(static_cast<const void*>(std::addressof(on_event))),
                        [](void* target, const WebSocketEvent& event) { (*static_cast<Function*>(target))(event); }});
  }

  bool close_received() const { return closed_; }

 private:
  struct Callback {
    void* target;
    void (*call)(void* target, const WebSocketEvent& event);
  };
  using Checked = std::expected<void, WebSocketFailure>;

  Checked feed_to(std::string_view bytes, Callback callback);
  Checked take_header_byte(unsigned char byte);
  Checked check_first_byte(unsigned char byte) const;
  Checked check_second_byte(unsigned char byte);
  Checked header_complete();
  Checked take_payload(std::string_view bytes);
  Checked frame_complete(Callback callback);
  Checked close_complete(Callback callback);
  bool is_control() const { return (header_[0] & 0x08) != 0; }

  WebSocketRole role_;
  WebSocketLimits limits_;
  std::array<unsigned char, 14> header_{};
  std::uint8_t header_size_ = 0;    // bytes of the header so far
  std::uint8_t header_wanted_ = 2;  // bytes of the whole header as far as known
  bool in_payload_ = false;
  std::uint64_t payload_left_ = 0;
  std::array<unsigned char, 4> mask_{};
  std::uint8_t mask_at_ = 0;
  std::optional<WebSocketOpcode> message_kind_;  // set from the first fragment to the last
  std::string message_;
  std::string control_;
  Utf8Stream utf8_;
  bool closed_ = false;
  std::optional<WebSocketFailure> failure_;
};

using WebSocketMask = std::array<unsigned char, 4>;
// A key nobody can predict (5.3): clients take a new one for each frame.
WebSocketMask random_mask();

// Appends one frame with the shortest length form. Servers pass no mask, clients must. Control frames: at most 125
// bytes of payload; the rest is cut off.
void append_frame(std::string& out, WebSocketOpcode opcode, std::string_view payload,
                  std::optional<WebSocketMask> mask = std::nullopt, bool fin = true);
// Appends a close frame; kWebSocketNoStatus gives one without payload. A reason over 123 bytes is cut at a character.
void append_close(std::string& out, std::uint16_t code, std::string_view reason = {},
                  std::optional<WebSocketMask> mask = std::nullopt);

// Opening handshake (section 4).

// The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (4.2.2, item 5.4).
std::string accept_key(std::string_view client_key);
// A fresh Sec-WebSocket-Key for a client: 16 random bytes in base64.
std::string random_client_key();

struct UpgradeRefusal {
  // 400, 405, or 426: then the answer must carry "Upgrade: websocket" and "Sec-WebSocket-Version: 13" (4.4).
  int http_status;
  Error error;
};
// All values of the header fields of one name, in order, as received.
using HeaderValues = std::function<std::vector<std::string_view>(std::string_view name)>;

// Checks a client's opening handshake (4.2.1). `http_version` is major * 10 + minor (11 for HTTP/1.1). The result is
// the value of Sec-WebSocket-Accept for the 101 answer. Origin and Host are the caller's to check.
std::expected<std::string, UpgradeRefusal> validate_upgrade(std::string_view method, int http_version,
                                                            const HeaderValues& headers);

}  // namespace llm::net
