#include "net/websocket_codec.h"

#include <gtest/gtest.h>
#include <map>
#include <string>
#include <vector>

namespace llm::net {
namespace {

using namespace std::string_literals;
using Kind = WebSocketEvent::Kind;
using Op = WebSocketOpcode;

constexpr WebSocketMask kMask{0x37, 0xFA, 0x21, 0x3D};

// What a decoder made of its input: "text:hello ping:x fail:1002".
struct Outcome {
  std::vector<std::string> events;
  std::uint16_t failure = 0;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

void PrintTo(const Outcome& outcome, std::ostream* out) {
  *out << testing::PrintToString(outcome.events) << " failure " << outcome.failure;
}

std::string describe_event(const WebSocketEvent& event) {
  switch (event.kind) {
    case Kind::kText:
      return "text:" + std::string(event.payload);
    case Kind::kBinary:
      return "binary:" + std::string(event.payload);
    case Kind::kPing:
      return "ping:" + std::string(event.payload);
    case Kind::kPong:
      return "pong:" + std::string(event.payload);
    case Kind::kClose:
      return "close:" + std::to_string(event.close_code) + ":" + std::string(event.payload);
  }
  return {};
}

Outcome decode(WebSocketRole role, const std::vector<std::string_view>& slices, WebSocketLimits limits = {}) {
  WebSocketDecoder decoder(role, limits);
  Outcome outcome;
  for (const auto slice : slices) {
    const auto result =
        decoder.feed(slice, [&](const WebSocketEvent& event) { outcome.events.push_back(describe_event(event)); });
    if (!result) {
      outcome.failure = result.error().close_code;
      EXPECT_LE(result.error().reason.size(), 123U);
      EXPECT_FALSE(decoder.feed("", [](const WebSocketEvent&) {})) << "a failure is final";
      break;
    }
  }
  return outcome;
}

std::string frame(Op opcode, std::string_view payload, bool fin = true) {
  std::string out;
  append_frame(out, opcode, payload, kMask, fin);
  return out;
}

std::string close_payload(unsigned code, std::string_view reason = {}) {
  std::string out;
  out.push_back(static_cast<char>(code >> 8));
  out.push_back(static_cast<char>(code & 0xFF));
  return out.append(reason);
}

// A masked frame with the first byte and the length field written by hand; mask key 0 leaves the payload readable.
std::string raw(unsigned char first, std::string_view length_field, std::string_view payload = {}) {
  std::string out(1, static_cast<char>(first));
  out.append(length_field).append(4, '\0').append(payload);
  return out;
}

struct Case {
  std::string name;
  std::string bytes;  // as a client sends them
  Outcome outcome;
};

std::vector<Case> framing_cases() {
  return {
      {"empty text", frame(Op::kText, ""), {{"text:"}, 0}},
      {"text", frame(Op::kText, "Hello"), {{"text:Hello"}, 0}},
      {"binary", frame(Op::kBinary, "\0\xFF"s), {{"binary:\0\xFF"s}, 0}},
      {"length 125", frame(Op::kBinary, std::string(125, 'x')), {{"binary:" + std::string(125, 'x')}, 0}},
      {"length 126", frame(Op::kBinary, std::string(126, 'x')), {{"binary:" + std::string(126, 'x')}, 0}},
      {"two messages", frame(Op::kText, "a") + frame(Op::kText, "b"), {{"text:a", "text:b"}, 0}},
      {"ping empty and full",
       frame(Op::kPing, "") + frame(Op::kPing, std::string(125, '\xFE')),
       {{"ping:", "ping:" + std::string(125, '\xFE')}, 0}},
      {"unsolicited pong", frame(Op::kPong, "p") + frame(Op::kPing, "q"), {{"pong:p", "ping:q"}, 0}},
      {"ping of 126 bytes", raw(0x89, "\xFE\x00\x7E"s, std::string(126, 'x')), {{}, 1002}},
      {"RSV1", raw(0xC1, "\x80"), {{}, 1002}},
      {"RSV2", raw(0xA1, "\x80"), {{}, 1002}},
      {"RSV3 on a ping", raw(0x99, "\x80"), {{}, 1002}},
      {"RSV after a good message", frame(Op::kText, "a") + raw(0xF2, "\x80"), {{"text:a"}, 1002}},
      {"opcode 3", raw(0x83, "\x80"), {{}, 1002}},
      {"opcode 7", raw(0x87, "\x80"), {{}, 1002}},
      {"opcode 11", raw(0x8B, "\x80"), {{}, 1002}},
      {"opcode 15", raw(0x8F, "\x80"), {{}, 1002}},
      {"unmasked", "\x81\x01x"s, {{}, 1002}},
      {"16-bit length for 125", raw(0x82, "\xFE\x00\x7D"s), {{}, 1002}},
      {"64-bit length for 65535", raw(0x82, "\xFF\0\0\0\0\0\0\xFF\xFF"s), {{}, 1002}},
      {"64-bit length with its top bit", raw(0x82, "\xFF\x80\0\0\0\0\x01\0\0"s), {{}, 1002}},
      {"length of 2^63-1", raw(0x82, "\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"s), {{}, 1009}},
  };
}

std::vector<Case> fragment_cases() {
  return {
      {"two fragments", frame(Op::kText, "frag", false) + frame(Op::kContinuation, "ment"), {{"text:fragment"}, 0}},
      {"ping between fragments",
       frame(Op::kText, "a", false) + frame(Op::kPing, "p") + frame(Op::kContinuation, "b", false) +
           frame(Op::kPong, "q") + frame(Op::kContinuation, "c"),
       {{"ping:p", "pong:q", "text:abc"}, 0}},
      {"empty fragments",
       frame(Op::kBinary, "", false) + frame(Op::kContinuation, "", false) + frame(Op::kContinuation, ""),
       {{"binary:"}, 0}},
      {"fragmented ping", frame(Op::kPing, "p", false), {{}, 1002}},
      {"fragmented close", frame(Op::kClose, "", false), {{}, 1002}},
      {"continuation without start", frame(Op::kContinuation, "x"), {{}, 1002}},
      {"continuation after the end",
       frame(Op::kText, "a", false) + frame(Op::kContinuation, "b") + frame(Op::kContinuation, "c", false),
       {{"text:ab"}, 1002}},
      {"text inside a message", frame(Op::kText, "a", false) + frame(Op::kText, "b"), {{}, 1002}},
      {"binary inside a message", frame(Op::kText, "a", false) + frame(Op::kBinary, "b"), {{}, 1002}},
      {"close inside a message",
       frame(Op::kText, "a", false) + frame(Op::kClose, close_payload(1000)),
       {{"close:1000:"}, 0}},
  };
}

std::vector<Case> utf8_cases() {
  const std::string kosme = "\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5";
  return {
      {"greek", frame(Op::kText, kosme), {{"text:" + kosme}, 0}},
      {"character over three fragments",
       frame(Op::kText, "\xF0", false) + frame(Op::kContinuation, "\x9F\x98", false) + frame(Op::kContinuation, "\x80"),
       {{"text:\xF0\x9F\x98\x80"}, 0}},
      {"ping inside a character",
       frame(Op::kText, "\xC3", false) + frame(Op::kPing, "\xFF") + frame(Op::kContinuation, "\xA9"),
       {{"ping:\xFF", "text:\xC3\xA9"}, 0}},
      {"last code point", frame(Op::kText, "\xF4\x8F\xBF\xBF"), {{"text:\xF4\x8F\xBF\xBF"}, 0}},
      {"over the last", frame(Op::kText, "\xF4\x90\x80\x80"), {{}, 1007}},
      {"surrogate", frame(Op::kText, kosme + "\xED\xA0\x80"), {{}, 1007}},
      {"overlong two", frame(Op::kText, "\xC0\xAF"), {{}, 1007}},
      {"overlong three", frame(Op::kText, "\xE0\x80\xAF"), {{}, 1007}},
      {"overlong four", frame(Op::kText, "\xF0\x80\x80\xAF"), {{}, 1007}},
      {"five bytes", frame(Op::kText, "\xF8\x88\x80\x80\x80"), {{}, 1007}},
      {"stray continuation", frame(Op::kText, "a\x80"), {{}, 1007}},
      {"cut off", frame(Op::kText, "\xCE"), {{}, 1007}},
      {"cut off by ASCII", frame(Op::kText, "\xE1\xBDz"), {{}, 1007}},
      {"binary need not be UTF-8", frame(Op::kBinary, "\xFF\xFE"), {{"binary:\xFF\xFE"}, 0}},
      {"state starts anew", frame(Op::kText, "a") + frame(Op::kText, "\x80"), {{"text:a"}, 1007}},
  };
}

std::vector<Case> close_cases() {
  return {
      {"empty", frame(Op::kClose, ""), {{"close:1005:"}, 0}},
      {"one byte", frame(Op::kClose, "\x03"), {{}, 1002}},
      {"with reason", frame(Op::kClose, close_payload(1000, "bye")), {{"close:1000:bye"}, 0}},
      {"longest reason",
       frame(Op::kClose, close_payload(1000, std::string(123, 'r'))),
       {{"close:1000:" + std::string(123, 'r')}, 0}},
      {"too long", raw(0x88, "\xFE\x00\x7E"s, close_payload(1000, std::string(124, 'r'))), {{}, 1002}},
      {"reason not UTF-8", frame(Op::kClose, close_payload(1000, "\xCE\xBA\xED\xA0\x80")), {{}, 1007}},
      {"nothing counts behind a close",
       frame(Op::kClose, close_payload(1001)) + frame(Op::kText, "x") + "garbage",
       {{"close:1001:"}, 0}},
  };
}

std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (const auto& group : {framing_cases(), fragment_cases(), utf8_cases(), close_cases()}) {
    all.insert(all.end(), group.begin(), group.end());
  }
  return all;
}

TEST(WebSocketDecoder, Table) {
  for (const Case& test : all_cases())
    EXPECT_EQ(decode(WebSocketRole::kServer, {test.bytes}), test.outcome) << test.name;
}

TEST(WebSocketDecoder, EverySplitGivesTheSameOutcome) {
  for (const Case& test : all_cases()) {
    const std::string_view bytes = test.bytes;
    for (std::size_t at = 0; at <= bytes.size(); ++at) {
      ASSERT_EQ(decode(WebSocketRole::kServer, {bytes.substr(0, at), bytes.substr(at)}), test.outcome)
          << test.name << " split at " << at;
    }
    std::vector<std::string_view> single;
    for (std::size_t at = 0; at < bytes.size(); ++at) single.push_back(bytes.substr(at, 1));
    EXPECT_EQ(decode(WebSocketRole::kServer, single), test.outcome) << test.name << " byte by byte";
  }
}

TEST(WebSocketDecoder, CloseCodes) {
  for (const unsigned good :
       {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999}) {
    EXPECT_EQ(decode(WebSocketRole::kServer, {frame(Op::kClose, close_payload(good))}).failure, 0) << good;
  }
  for (const unsigned bad : {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535}) {
    EXPECT_EQ(decode(WebSocketRole::kServer, {frame(Op::kClose, close_payload(bad))}), (Outcome{{}, 1002})) << bad;
  }
}

TEST(WebSocketDecoder, InvalidUtf8FailsBeforeTheMessageEnds) {
  WebSocketDecoder decoder(WebSocketRole::kServer);
  const std::string bytes = frame(Op::kText, "ok\xF4\x90 and much more text that never has to come");
  const auto ignore = [](const WebSocketEvent&) {};
  ASSERT_TRUE(decoder.feed(std::string_view(bytes).substr(0, 6 + 3), ignore)) << "F4 alone may still turn out well";
  const auto result = decoder.feed(std::string_view(bytes).substr(9, 1), ignore);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().close_code, 1007);
}

TEST(WebSocketDecoder, ClientRole) {
  std::string bytes;
  append_frame(bytes, Op::kText, "hi");
  append_close(bytes, kWebSocketGoingAway, "later");
  EXPECT_EQ(decode(WebSocketRole::kClient, {bytes}), (Outcome{{"text:hi", "close:1001:later"}, 0}));
  EXPECT_EQ(decode(WebSocketRole::kClient, {frame(Op::kText, "hi")}), (Outcome{{}, 1002})) << "masked by a server";
}

TEST(WebSocketDecoder, LimitHoldsAtTheLimitAndOnePast) {
  const WebSocketLimits limits{.max_message_bytes = 10};
  EXPECT_EQ(decode(WebSocketRole::kServer, {frame(Op::kText, "0123456789")}, limits).failure, 0);
  EXPECT_EQ(decode(WebSocketRole::kServer, {frame(Op::kText, "0123456789a")}, limits).failure, 1009);
  const std::string start = frame(Op::kText, "012345", false);
  EXPECT_EQ(decode(WebSocketRole::kServer, {start + frame(Op::kContinuation, "6789")}, limits).failure, 0);
  EXPECT_EQ(decode(WebSocketRole::kServer, {start + frame(Op::kContinuation, "6789a")}, limits).failure, 1009);
  // The announced length is enough to refuse; control frames do not count.
  EXPECT_EQ(decode(WebSocketRole::kServer, {raw(0x82, "\x8B")}, limits).failure, 1009);
  EXPECT_EQ(decode(WebSocketRole::kServer, {frame(Op::kPing, std::string(20, 'p'))}, limits).failure, 0);
}

TEST(WebSocketCodec, RoundTripOfManySizes) {
  for (const std::size_t size : {0U, 1U, 7U, 8U, 9U, 125U, 126U, 127U, 65535U, 65536U, 65537U, 1048576U}) {
    std::string payload(size, '\0');
    for (std::size_t i = 0; i < size; ++i) payload[i] = static_cast<char>(i * 31 & 0x7F);
    for (const std::size_t slice : {size + 20, std::size_t{997}}) {
      for (const bool masked : {false, true}) {
        std::string bytes;
        append_frame(bytes, Op::kText, payload, masked ? std::optional(random_mask()) : std::nullopt);
        std::vector<std::string_view> slices;
        for (std::size_t at = 0; at < bytes.size(); at += slice)
          slices.push_back(std::string_view(bytes).substr(at, slice));
        const auto role = masked ? WebSocketRole::kServer : WebSocketRole::kClient;
        EXPECT_EQ(decode(role, slices), (Outcome{{"text:" + payload}, 0})) << size;
      }
    }
  }
}

TEST(WebSocketCodec, FramesOfTheRfc) {  // 5.7
  std::string out;
  append_frame(out, Op::kText, "Hello");
  EXPECT_EQ(out, "\x81\x05Hello");
  out.clear();
  append_frame(out, Op::kText, "Hello", kMask);
  EXPECT_EQ(out, "\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58");
  out.clear();
  append_frame(out, Op::kBinary, std::string(256, 'x'));
  EXPECT_EQ(out.substr(0, 4), "\x82\x7E\x01\x00"s);
  out.clear();
  append_frame(out, Op::kBinary, std::string(65536, 'x'));
  EXPECT_EQ(out.substr(0, 10), "\x82\x7F\x00\x00\x00\x00\x00\x01\x00\x00"s);
}

TEST(WebSocketCodec, CloseFramesAreAlwaysValid) {
  std::string reason(122, 'r');
  reason += "\xE2\x82\xAC";  // crosses the limit of 123 bytes
  std::string out;
  append_close(out, kWebSocketInternalError, reason);
  EXPECT_EQ(decode(WebSocketRole::kClient, {out}), (Outcome{{"close:1011:" + std::string(122, 'r')}, 0}));
  out.clear();
  append_close(out, kWebSocketNoStatus, "ignored");
  EXPECT_EQ(out, "\x88\x00"s);
  out.clear();
  append_frame(out, Op::kPing, std::string(200, 'x'));
  EXPECT_EQ(out.size(), 2U + 125U);
}

using Headers = std::multimap<std::string, std::string>;

Headers good_headers() {
  return {{"Upgrade", "websocket"},
          {"Connection", "keep-alive, Upgrade"},
          {"Sec-WebSocket-Version", "13"},
          {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}};
}

std::expected<std::string, UpgradeRefusal> upgrade(const Headers& headers, std::string_view method = "GET",
                                                   int version = 11) {
  return validate_upgrade(method, version, [&headers](std::string_view name) {
    std::vector<std::string_view> values;
    const auto [first, last] = headers.equal_range(std::string(name));
    for (auto at = first; at != last; ++at) values.emplace_back(at->second);
    return values;
  });
}

TEST(WebSocketHandshake, AcceptsTheExampleOfTheRfc) {  // 1.3
  EXPECT_EQ(upgrade(good_headers()).value(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  Headers headers = good_headers();
  headers.erase("Connection");
  headers.insert({{"Connection", "keep-alive"}, {"Connection", " UPGRADE "}});
  headers.erase("Upgrade");
  headers.insert({"Upgrade", "h2c, WebSocket"});
  EXPECT_TRUE(upgrade(headers));
}

TEST(WebSocketHandshake, Refusals) {
  struct Row {
    std::string name;
    std::string value;  // "-": the field is absent
    int status;
  };
  const std::vector<Row> rows{
      {"Upgrade", "-", 426},
      {"Upgrade", "h2c", 426},
      {"Upgrade", "websockets", 426},
      {"Connection", "-", 400},
      {"Connection", "keep-alive", 400},
      {"Sec-WebSocket-Version", "-", 426},
      {"Sec-WebSocket-Version", "8", 426},
      {"Sec-WebSocket-Version", "13, 8", 426},
      {"Sec-WebSocket-Key", "-", 400},
      {"Sec-WebSocket-Key", "", 400},
      {"Sec-WebSocket-Key", "SGVsbG8sIHdvcmxkIQ==", 400},      // 13 bytes
      {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=", 400},   // a pad short
      {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j*Q==", 400},  // not a digit
      {"Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAAAA", 400},  // 18 bytes
  };
  for (const Row& row : rows) {
    Headers headers = good_headers();
    headers.erase(row.name);
    if (row.value != "-") headers.insert({row.name, row.value});
    const auto result = upgrade(headers);
    ASSERT_FALSE(result) << row.name << "=" << row.value;
    EXPECT_EQ(result.error().http_status, row.status) << row.name << "=" << row.value;
    EXPECT_FALSE(result.error().error.message.empty());
  }
  EXPECT_EQ(upgrade(good_headers(), "POST").error().http_status, 405);
  EXPECT_EQ(upgrade(good_headers(), "GET", 10).error().http_status, 400);
  Headers two_keys = good_headers();
  two_keys.insert({"Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="});
  EXPECT_EQ(upgrade(two_keys).error().http_status, 400);
}

TEST(WebSocketHandshake, ClientKeysAreAcceptedAndDiffer) {
  Headers headers = good_headers();
  headers.erase("Sec-WebSocket-Key");
  headers.insert({"Sec-WebSocket-Key", random_client_key()});
  EXPECT_TRUE(upgrade(headers));
  EXPECT_NE(random_client_key(), random_client_key());
}

}  // namespace
}  // namespace llm::net
