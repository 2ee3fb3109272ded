#include "net/websocket_codec.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <span>

#include "base/random.h"
#include "base/strings.h"
#include "net/base64.h"

namespace llm::net {
namespace {

constexpr std::size_t kMaxControlPayload = 125;  // 5.5
constexpr std::size_t kMaxCloseReason = kMaxControlPayload - 2;
constexpr std::string_view kHandshakeGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // 1.3

std::unexpected<WebSocketFailure> protocol_error(std::string_view reason) {
  return std::unexpected(WebSocketFailure{kWebSocketProtocolError, std::string(reason)});
}

// Length of the run of ASCII bytes at the start.
std::size_t ascii_prefix(std::string_view bytes) {
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    if ((word & 0x8080808080808080ULL) != 0) break;
  }
  while (at < bytes.size() && static_cast<unsigned char>(bytes[at]) < 0x80) ++at;
  return at;
}

// XORs `bytes` with the key, which goes on at its byte number `key_at` (5.3); returns where the key stands then.
std::uint8_t apply_mask(std::span<char> bytes, const WebSocketMask& key, std::uint8_t key_at) {
  std::array<unsigned char, 8> turned;
  for (std::size_t i = 0; i < turned.size(); ++i) turned[i] = key[(key_at + i) & 3];
  std::uint64_t key_word = 0;
  std::memcpy(&key_word, turned.data(), 8);
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    word ^= key_word;
    std::memcpy(bytes.data() + at, &word, 8);
  }
  for (; at < bytes.size(); ++at) bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ turned[at & 7]);
  return static_cast<std::uint8_t>((key_at + bytes.size()) & 3);
}

// Does a list header (RFC 9110, 5.6.1) name this token, in any of its fields, in any case?
bool has_token(const std::vector<std::string_view>& values, std::string_view token) {
  for (const auto value : values) {
    for (const auto item : split(value, ',')) {
      if (iequals(trim(item), token)) return true;
    }
  }
  return false;
}

// Base64 of exactly 16 bytes: 22 digits and two pads (4.1, item 7).
bool is_client_key(std::string_view key) {
  if (key.size() != 24 || !key.ends_with("==")) return false;
  return std::ranges::all_of(key.substr(0, 22), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
  });
}

std::unexpected<UpgradeRefusal> refuse(int status, std::string message) {
  const auto code = status == 405 ? ErrorCode::kMethodNotAllowed : ErrorCode::kInvalidArgument;
  return std::unexpected(UpgradeRefusal{status, Error{code, std::move(message), {}, {}, 0}});
}

}  // namespace

bool valid_close_code(std::uint16_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

bool Utf8Stream::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (missing_ == 0) {
      bytes.remove_prefix(ascii_prefix(bytes));
      if (bytes.empty()) return true;
      const auto lead = static_cast<unsigned char>(bytes.front());
      if (lead < 0xC2 || lead > 0xF4) return false;  // a stray continuation byte, an overlong form, over U+10FFFF
      missing_ = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
      low_ = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
      high_ = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    } else {
      const auto next = static_cast<unsigned char>(bytes.front());
      if (next < low_ || next > high_) return false;
      --missing_;
      low_ = 0x80;
      high_ = 0xBF;
    }
    bytes.remove_prefix(1);
  }
  return true;
}

std::expected<void, WebSocketFailure> WebSocketDecoder::feed_to(std::string_view bytes, Callback callback) {
  Checked checked;
  if (failure_) return std::unexpected(*failure_);
  // A frame without payload is complete with its header, so the end of input is looked at behind it.
  while (!closed_ && checked && (!bytes.empty() || (in_payload_ && payload_left_ == 0))) {
    if (!in_payload_) {
      checked = take_header_byte(static_cast<unsigned char>(bytes.front()));
      bytes.remove_prefix(1);
      continue;
    }
    const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(payload_left_, bytes.size()));
    checked = take_payload(bytes.substr(0, take));
    bytes.remove_prefix(take);
    payload_left_ -= take;
    if (checked && payload_left_ == 0) checked = frame_complete(callback);
  }
  if (!checked) {
    failure_ = checked.error();
    message_ = {};
  }
  return checked;
}

WebSocketDecoder::Checked WebSocketDecoder::take_header_byte(unsigned char byte) {
  header_[header_size_++] = byte;
  if (header_size_ == 1) return check_first_byte(byte);
  if (header_size_ == 2) {
    if (auto checked = check_second_byte(byte); !checked) return checked;
  }
  return header_size_ == header_wanted_ ? header_complete() : Checked{};
}

WebSocketDecoder::Checked WebSocketDecoder::check_first_byte(unsigned char byte) const {
  if ((byte & 0x70) != 0) return protocol_error("reserved bits set, but no extension was agreed");
  const bool fin = (byte & 0x80) != 0;
  switch (static_cast<WebSocketOpcode>(byte & 0x0F)) {
    case WebSocketOpcode::kContinuation:
      if (!message_kind_) return protocol_error("continuation frame without a message to continue");
      return {};
    case WebSocketOpcode::kText:
    case WebSocketOpcode::kBinary:
      if (message_kind_) return protocol_error("new message inside a fragmented one");
      return {};
    case WebSocketOpcode::kClose:
    case WebSocketOpcode::kPing:
    case WebSocketOpcode::kPong:
      if (!fin) return protocol_error("fragmented control frame");
      return {};
  }
  return protocol_error("reserved opcode");
}

WebSocketDecoder::Checked WebSocketDecoder::check_second_byte(unsigned char byte) {
  const bool masked = (byte & 0x80) != 0;
  if (masked && role_ == WebSocketRole::kClient) return protocol_error("masked frame from a server");
  if (!masked && role_ == WebSocketRole::kServer) return protocol_error("unmasked frame from a client");
  const unsigned length = byte & 0x7F;
  if (is_control() && length > kMaxControlPayload) return protocol_error("control frame over 125 bytes");
  header_wanted_ = static_cast<std::uint8_t>(2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + (masked ? 4 : 0));
  return {};
}

WebSocketDecoder::Checked WebSocketDecoder::header_complete() {
  const unsigned short_length = header_[1] & 0x7F;
  const std::size_t extended = short_length == 126 ? 2 : short_length == 127 ? 8 : 0;
  std::uint64_t length = extended == 0 ? short_length : 0;
  for (std::size_t i = 0; i < extended; ++i) length = length << 8 | header_[2 + i];
  if (extended == 8 && (header_[2] & 0x80) != 0) return protocol_error("payload length over 63 bits");
  if ((extended == 2 && length < 126) || (extended == 8 && length < 65536)) {
    return protocol_error("payload length not in its shortest form");
  }
  if (!is_control()) {
    if (length > limits_.max_message_bytes - message_.size()) {
      return std::unexpected(WebSocketFailure{
          kWebSocketTooBig, fmt::format("message over the limit of {}", format_bytes(limits_.max_message_bytes))});
    }
    const auto opcode = static_cast<WebSocketOpcode>(header_[0] & 0x0F);
    if (opcode != WebSocketOpcode::kContinuation) message_kind_ = opcode;
  }
  if ((header_[1] & 0x80) != 0) std::memcpy(mask_.data(), header_.data() + 2 + extended, mask_.size());
  mask_at_ = 0;
  payload_left_ = length;
  in_payload_ = true;
  return {};
}

WebSocketDecoder::Checked WebSocketDecoder::take_payload(std::string_view bytes) {
  std::string& target = is_control() ? control_ : message_;
  const std::size_t before = target.size();
  target.append(bytes);
  const std::span<char> added(target.data() + before, bytes.size());
  if (role_ == WebSocketRole::kServer) mask_at_ = apply_mask(added, mask_, mask_at_);
  if (!is_control() && message_kind_ == WebSocketOpcode::kText && !utf8_.feed({added.data(), added.size()})) {
    return std::unexpected(WebSocketFailure{kWebSocketInvalidUtf8, "text message is not UTF-8"});
  }
  return {};
}

WebSocketDecoder::Checked WebSocketDecoder::frame_complete(Callback callback) {
  const auto opcode = static_cast<WebSocketOpcode>(header_[0] & 0x0F);
  const bool fin = (header_[0] & 0x80) != 0;
  in_payload_ = false;
  header_size_ = 0;
  header_wanted_ = 2;
  if (opcode == WebSocketOpcode::kClose) return close_complete(callback);
  if (opcode == WebSocketOpcode::kPing || opcode == WebSocketOpcode::kPong) {
    const auto kind = opcode == WebSocketOpcode::kPing ? WebSocketEvent::Kind::kPing : WebSocketEvent::Kind::kPong;
    callback.call(callback.target, WebSocketEvent{kind, control_, 0});
    control_.clear();
    return {};
  }
  if (!fin) return {};
  const bool text = message_kind_ == WebSocketOpcode::kText;
  if (text && !utf8_.complete()) {
    return std::unexpected(WebSocketFailure{kWebSocketInvalidUtf8, "text message ends inside a character"});
  }
  callback.call(callback.target,
                WebSocketEvent{text ? WebSocketEvent::Kind::kText : WebSocketEvent::Kind::kBinary, message_, 0});
  // One large message must not hold its memory for the life of the connection.
  constexpr std::size_t kKeepBytes = 64 * 1024;
  if (message_.capacity() > kKeepBytes) message_ = {};
  message_.clear();
  message_kind_.reset();
  utf8_.reset();
  return {};
}

WebSocketDecoder::Checked WebSocketDecoder::close_complete(Callback callback) {
  if (control_.size() == 1) return protocol_error("close frame with half a code");
  std::uint16_t code = kWebSocketNoStatus;
  std::string_view reason;
  if (control_.size() >= 2) {
    code = static_cast<std::uint16_t>(static_cast<unsigned char>(control_[0]) << 8 |
                                      static_cast<unsigned char>(control_[1]));
    reason = std::string_view(control_).substr(2);
    if (!valid_close_code(code)) return protocol_error("invalid close code");
    if (!valid_utf8(reason)) {
      return std::unexpected(WebSocketFailure{kWebSocketInvalidUtf8, "close reason is not UTF-8"});
    }
  }
  closed_ = true;
  callback.call(callback.target, WebSocketEvent{WebSocketEvent::Kind::kClose, reason, code});
  return {};
}

WebSocketMask random_mask() {
  WebSocketMask mask;
  random_bytes(mask);
  return mask;
}

void append_frame(std::string& out, WebSocketOpcode opcode, std::string_view payload, std::optional<WebSocketMask> mask,
                  bool fin) {
  if ((static_cast<unsigned>(opcode) & 0x08U) != 0) payload = payload.substr(0, kMaxControlPayload);
  const std::size_t length = payload.size();
  const auto push = [&out](std::uint64_t byte) { out.push_back(static_cast<char>(byte & 0xFF)); };
  const unsigned mask_bit = mask ? 0x80 : 0;
  push((fin ? 0x80U : 0U) | static_cast<unsigned>(opcode));
  if (length < 126) {
    push(mask_bit | length);
  } else if (length < 65536) {
    push(mask_bit | 126U);
    push(length >> 8);
    push(length);
  } else {
    push(mask_bit | 127U);
    for (int shift = 56; shift >= 0; shift -= 8) push(static_cast<std::uint64_t>(length) >> shift);
  }
  if (mask) out.append(reinterpret_cast<const char*>(mask->data()), mask->size());
  const std::size_t start = out.size();
  out.append(payload);
  if (mask) apply_mask({out.data() + start, length}, *mask, 0);
}

void append_close(std::string& out, std::uint16_t code, std::string_view reason, std::optional<WebSocketMask> mask) {
  std::string payload;
  if (code != kWebSocketNoStatus) {
    if (reason.size() > kMaxCloseReason) {
      reason = reason.substr(0, kMaxCloseReason);
      reason = reason.substr(0, utf8_complete_prefix(reason));
    }
    payload.push_back(static_cast<char>(code >> 8));
    payload.push_back(static_cast<char>(code & 0xFF));
    payload.append(reason);
  }
  append_frame(out, WebSocketOpcode::kClose, payload, mask);
}

std::string accept_key(std::string_view client_key) {
  std::string text(client_key);
  text.append(kHandshakeGuid);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned length = 0;
  // SHA-1 is what the protocol demands here; it guards against confusion of protocols, not against attackers.
  if (EVP_Digest(text.data(), text.size(), digest.data(), &length, EVP_sha1(), nullptr) != 1) return {};
  return base64_encode({reinterpret_cast<const char*>(digest.data()), length});
}

std::string random_client_key() {
  std::array<unsigned char, 16> bytes;
  random_bytes(bytes);
  return base64_encode({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::expected<std::string, UpgradeRefusal> validate_upgrade(std::string_view method, int http_version,
                                                            const HeaderValues& headers) {
  if (method != "GET") return refuse(405, "A WebSocket handshake is a GET request (RFC 6455, 4.1).");
  if (http_version < 11) return refuse(400, "A WebSocket handshake needs HTTP/1.1.");
  if (!has_token(headers("Upgrade"), "websocket")) {
    return refuse(426, "This address speaks WebSocket: the request needs the header \"Upgrade: websocket\".");
  }
  if (!has_token(headers("Connection"), "upgrade")) {
    return refuse(400,
                  "The WebSocket handshake lacks the header \"Connection: Upgrade\"; a proxy in between may have "
                  "removed it.");
  }
  const auto versions = headers("Sec-WebSocket-Version");
  if (versions.size() != 1 || trim(versions.front()) != "13") {
    return refuse(426, "Only WebSocket version 13 is spoken here: send \"Sec-WebSocket-Version: 13\" once.");
  }
  const auto keys = headers("Sec-WebSocket-Key");
  if (keys.size() != 1 || !is_client_key(trim(keys.front()))) {
    return refuse(400,
                  "The WebSocket handshake needs one Sec-WebSocket-Key: 16 random bytes in base64, 24 characters.");
  }
  return accept_key(trim(keys.front()));
}

}  // namespace llm::net
