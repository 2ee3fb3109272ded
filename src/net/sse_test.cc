#include "net/sse.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace llm::net {
namespace {

using namespace std::string_literals;

struct Seen {
  std::string event;
  std::string data;
  std::string id;
  std::optional<std::uint32_t> retry_ms;
  friend bool operator==(const Seen&, const Seen&) = default;
};

void PrintTo(const Seen& seen, std::ostream* out) {
  *out << "{event=" << seen.event << " data=" << testing::PrintToString(seen.data) << " id=" << seen.id
       << " retry=" << (seen.retry_ms ? std::to_string(*seen.retry_ms) : "-") << "}";
}

struct Collector {
  std::vector<Seen> seen;
  void operator()(const SseEvent& event) {
    seen.push_back({std::string(event.event), std::string(event.data), std::string(event.id), event.retry_ms});
  }
};

struct Case {
  std::string name;
  std::string stream;
  std::vector<Seen> events;
};

std::vector<Case> cases() {
  return {
      {"openai", "data: {\"a\":1}\n\ndata: [DONE]\n\n", {{"", "{\"a\":1}", "", {}}, {"", "[DONE]", "", {}}}},
      {"crlf", "data: a\r\n\r\ndata: b\r\n\r\n", {{"", "a", "", {}}, {"", "b", "", {}}}},
      {"cr", "data: a\r\rdata: b\r\r", {{"", "a", "", {}}, {"", "b", "", {}}}},
      {"mixed line ends", "data: a\rdata: b\ndata: c\r\n\ndata: d\n\r\n", {{"", "a\nb\nc", "", {}}, {"", "d", "", {}}}},
      {"lf then cr are two line ends", "data: a\n\rdata: b\n\n", {{"", "a", "", {}}, {"", "b", "", {}}}},
      {"multi-line", "data: YHOO\ndata: +2\ndata: 10\n\n", {{"", "YHOO\n+2\n10", "", {}}}},
      {"only one space is cut", "data:test\n\ndata:  test\n\n", {{"", "test", "", {}}, {"", " test", "", {}}}},
      {"empty data lines", "data\n\ndata\ndata\n\ndata:", {{"", "", "", {}}, {"", "\n", "", {}}}},
      {"cut off at the end", "data: a\n\ndata: b\n", {{"", "a", "", {}}}},
      {"comments", ": ping\n\n:\ndata: a\n: in between\ndata: b\n\n", {{"", "a\nb", "", {}}}},
      {"event without data is dropped", "event: x\n\ndata: a\n\n", {{"", "a", "", {}}}},
      {"event type lasts for one event",
       "event: delta\ndata: a\n\ndata: b\n\n",
       {{"delta", "a", "", {}}, {"", "b", "", {}}}},
      {"last event type counts", "event: one\nevent: two\ndata: a\n\n", {{"two", "a", "", {}}}},
      {"data before event", "data: a\nevent: late\n\n", {{"late", "a", "", {}}}},
      {"ids last",
       "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
       {{"", "a", "1", {}}, {"", "b", "1", {}}, {"", "c", "", {}}}},
      {"id of an event without data", "id: 7\n\ndata: a\n\n", {{"", "a", "7", {}}}},
      {"id with NUL", "id: a\0b\ndata: x\n\n"s, {{"", "x", "", {}}}},
      {"retry", "retry: 3000\ndata: a\n\ndata: b\n\n", {{"", "a", "", 3000}, {"", "b", "", {}}}},
      {"retry that is no number", "retry: 3s\nretry:-1\nretry:\nretry: 99999999999\ndata: a\n\n", {{"", "a", "", {}}}},
      {"unknown fields and case", "Data: x\nfoo: bar\nfoo\ndata : y\ndata: a\n\n", {{"", "a", "", {}}}},
      {"byte order mark",
       "\xEF\xBB\xBF"
       "data: a\n\n",
       {{"", "a", "", {}}}},
      {"only one mark is cut",
       "\xEF\xBB\xBF\xEF\xBB\xBF"
       "data: x\n\ndata: a\n\n",
       {{"", "a", "", {}}}},
      {"half a mark belongs to the line",
       "\xEF\xBB"
       "data: x\n\ndata: a\n\n",
       {{"", "a", "", {}}}},
      {"value with colons", "data: http://x:1\n\n", {{"", "http://x:1", "", {}}}},
      {"NUL in data", "data: a\0b\n\n"s, {{"", "a\0b"s, "", {}}}},
      {"blank lines only", "\n\n\r\r\n\n", {}},
      {"nothing", "", {}},
  };
}

TEST(SseParser, Table) {
  for (const Case& test : cases()) {
    SseParser parser;
    Collector collector;
    ASSERT_TRUE(parser.feed(test.stream, collector)) << test.name;
    EXPECT_EQ(collector.seen, test.events) << test.name;
  }
}

TEST(SseParser, EverySplitGivesTheSameEvents) {
  for (const Case& test : cases()) {
    const std::string_view stream = test.stream;
    for (std::size_t first = 0; first <= stream.size(); ++first) {
      for (std::size_t second = first; second <= stream.size(); ++second) {
        SseParser parser;
        Collector collector;
        ASSERT_TRUE(parser.feed(stream.substr(0, first), collector));
        ASSERT_TRUE(parser.feed(stream.substr(first, second - first), collector));
        ASSERT_TRUE(parser.feed(stream.substr(second), collector));
        ASSERT_EQ(collector.seen, test.events) << test.name << " split at " << first << " and " << second;
      }
    }
    SseParser parser;
    Collector collector;
    for (const char byte : stream) ASSERT_TRUE(parser.feed({&byte, 1}, collector));
    EXPECT_EQ(collector.seen, test.events) << test.name << " byte by byte";
  }
}

TEST(SseParser, DataOfAWholeEventIsNotCopied) {
  const std::string stream = "event: delta\ndata: hello\n\n";
  SseParser parser;
  const char* where = nullptr;
  ASSERT_TRUE(parser.feed(stream, [&](const SseEvent& event) { where = event.data.data(); }));
  EXPECT_EQ(where, stream.data() + stream.find("hello"));
}

TEST(SseParser, CarriageReturnEndsAnEventWithoutWaiting) {
  SseParser parser;
  Collector collector;
  ASSERT_TRUE(parser.feed("data: a\r\n\r", collector));
  EXPECT_EQ(collector.seen.size(), 1U);
  ASSERT_TRUE(parser.feed("\ndata: b\n\n", collector));
  EXPECT_EQ(collector.seen.size(), 2U);
}

TEST(SseParser, LimitHoldsAtTheLimitAndOnePast) {
  for (const bool split : {false, true}) {
    for (const std::size_t over : {0U, 1U}) {
      const std::string stream = "data:" + std::string(95 + over, 'x') + "\n\n";
      SseParser parser({.max_event_bytes = 100});
      Collector collector;
      Result<void> result;
      if (split) {
        for (std::size_t i = 0; i < stream.size() && result; ++i) result = parser.feed(stream.substr(i, 1), collector);
      } else {
        result = parser.feed(stream, collector);
      }
      EXPECT_EQ(result.has_value(), over == 0) << over << split;
      EXPECT_EQ(collector.seen.size(), over == 0 ? 1U : 0U);
      if (over != 0) {
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, ErrorCode::kPayloadTooLarge);
        EXPECT_FALSE(parser.feed("data: a\n\n", collector)) << "stays failed";
        parser.reset();
        EXPECT_TRUE(parser.feed("data: a\n\n", collector));
        EXPECT_EQ(collector.seen.size(), 1U);
      }
    }
  }
}

TEST(SseParser, LimitCountsTheLinesOfOneEventTogether) {
  SseParser parser({.max_event_bytes = 100});
  Collector collector;
  // Comments and unknown fields hold no memory, however many.
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(parser.feed(": keep-alive\nx: y\n", collector));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(parser.feed("data: 0123456789\n\n", collector));
  EXPECT_EQ(collector.seen.size(), 100U);
  Result<void> result;
  int lines = 0;
  for (; result && lines < 1000; ++lines) result = parser.feed("data\n", collector);
  EXPECT_FALSE(result);
  EXPECT_LE(lines, 21);
}

TEST(SseParser, ResetKeepsWhatAReconnectNeeds) {
  SseParser parser;
  Collector collector;
  ASSERT_TRUE(parser.feed("id: 42\nretry: 10\ndata: a\n\nid: 43\ndata: cut", collector));
  EXPECT_TRUE(parser.mid_event());
  EXPECT_EQ(parser.last_event_id(), "42");
  parser.reset();
  EXPECT_FALSE(parser.mid_event());
  EXPECT_EQ(parser.last_event_id(), "42");
  EXPECT_EQ(parser.retry_ms(), 10U);
  ASSERT_TRUE(
      parser.feed("\xEF\xBB\xBF"
                  "data: b\n\n",
                  collector));
  EXPECT_EQ(collector.seen.back(), (Seen{"", "b", "42", {}}));
}

TEST(SseWriter, Golden) {
  std::string out;
  append_sse_data(out, R"({"a":1})");
  append_sse_event(out, "error", "two\nlines");
  append_sse_comment(out, "ping");
  append_sse_data(out, "");
  EXPECT_EQ(out, "data: {\"a\":1}\n\nevent: error\ndata: two\ndata: lines\n\n: ping\n\ndata: \n\n");
}

TEST(SseWriter, NothingCanBeSmuggledThroughLineEnds) {
  std::string out;
  append_sse_event(out, "a\ndata: b\r\n", "x\r\ny\rz\n\nevent: evil");
  append_sse_comment(out, "c\n\ndata: evil");
  SseParser parser;
  Collector collector;
  ASSERT_TRUE(parser.feed(out, collector));
  ASSERT_EQ(collector.seen.size(), 1U);
  EXPECT_EQ(collector.seen[0].event, "adata: b");
  EXPECT_EQ(collector.seen[0].data, "x\ny\nz\n\nevent: evil");
}

}  // namespace
}  // namespace llm::net
