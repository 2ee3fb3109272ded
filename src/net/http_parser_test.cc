#include "net/http_parser.h"

#include <gtest/gtest.h>

#include "net/raw_messages.h"

namespace llm::net {
namespace {

constexpr std::string_view kNext = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

struct Outcome {
  std::string verdict;  // a status, "incomplete", "ok" or "close"
  std::string body;
  std::string rest;  // bytes behind the message
  friend bool operator==(const Outcome&, const Outcome&) = default;
  friend void PrintTo(const Outcome& outcome, std::ostream* out) {
    *out << outcome.verdict << " body=" << outcome.body << " rest=" << outcome.rest.size() << " bytes";
  }
};

// Parses one request that arrives in pieces: the ends are given, the last is the end of all bytes.
Outcome parse(std::string_view bytes, const std::vector<std::size_t>& ends, const MessageLimits& limits = kRawLimits) {
  HttpParser parser(Role::kServer, limits);
  std::string kept;
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    kept += bytes.substr(begin, end - begin);
    begin = end;
    while (!parser.done()) {
      const auto used = parser.feed(kept);
      if (!used) return {std::to_string(parser.error_status()), {}, {}};
      kept.erase(0, *used);
      if (*used == 0 || kept.empty()) break;
    }
  }
  if (!parser.done()) return {"incomplete", {}, {}};
  return {parser.keep_alive() ? "ok" : "close", parser.body(), kept};
}

Outcome parse_whole(std::string_view bytes, const MessageLimits& limits = kRawLimits) {
  return parse(bytes, {bytes.size()}, limits);
}

std::vector<std::size_t> every_byte(std::size_t size) {
  std::vector<std::size_t> ends;
  for (std::size_t i = 1; i <= size; ++i) ends.push_back(i);
  return ends;
}

TEST(HttpParser, RawRequestsHaveTheirVerdicts) {
  const auto rows = load_raw_messages(LLM_TESTDATA "/raw_requests.txt");
  ASSERT_GT(rows.size(), 100U);
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    const std::string stream = row.bytes + std::string(kNext);
    const bool accepted = row.verdict == "ok" || row.verdict == "close";
    const Outcome expected{row.verdict, row.body, accepted ? std::string(kNext) : ""};
    EXPECT_EQ(parse_whole(stream), expected);
    EXPECT_EQ(parse(stream, every_byte(stream.size())), expected);
  }
}

TEST(HttpParser, EverySplitOfARequestGivesTheSame) {
  for (const auto& row : load_raw_messages(LLM_TESTDATA "/raw_requests.txt")) {
    const std::string stream = row.bytes + std::string(kNext);
    if (stream.size() > 700) continue;
    SCOPED_TRACE(row.name);
    const auto whole = parse_whole(stream);
    for (std::size_t cut = 1; cut < stream.size(); ++cut) {
      auto split = parse(stream, {cut, stream.size()});
      // Pieces behind the end of the message are not looked at.
      ASSERT_EQ(split, whole) << "cut at " << cut;
    }
  }
}

TEST(HttpParser, SaysWhatWasWrong) {
  HttpParser parser(Role::kServer, kRawLimits);
  const auto refused = parser.feed("GET / HTTP/1.1\r\n\r\n");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "missing Host header");
  EXPECT_EQ(refused.error().code, ErrorCode::kMalformed);
  EXPECT_EQ(parser.feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n").error(), refused.error()) << "errors are final";
  EXPECT_FALSE(parser.feed_eof());
  EXPECT_FALSE(parser.done());
  parser.reset();
  EXPECT_TRUE(parser.feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_TRUE(parser.done());
}

TEST(HttpParser, GivesTheParts) {
  HttpParser parser(Role::kServer, {});
  const std::string_view text =
      "POST /v1/x?y=z HTTP/1.1\r\nHost: h:1\r\nX-A: 1\r\nx-a:  two \r\nExpect: 100-Continue\r\n"
      "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n";
  ASSERT_EQ(parser.feed(text), text.size());
  ASSERT_TRUE(parser.head_done());
  EXPECT_FALSE(parser.done());
  EXPECT_EQ(parser.method(), "POST");
  EXPECT_EQ(parser.target(), "/v1/x?y=z");
  EXPECT_EQ(parser.version(), 11);
  EXPECT_TRUE(parser.expects_continue());
  EXPECT_TRUE(parser.has_body());
  EXPECT_EQ(parser.headers().count("X-A"), 2U);
  EXPECT_EQ(parser.headers().at(2).value, "two");
  EXPECT_EQ(parser.body(), "hi");
  parser.body().clear();
  ASSERT_TRUE(parser.feed("3\r\nyou\r\n0\r\nX-B: trailer\r\n\r\n"));
  EXPECT_TRUE(parser.done());
  EXPECT_EQ(parser.body(), "you");
  EXPECT_FALSE(parser.headers().get("x-b")) << "a trailer is no header";
}

TEST(HttpParser, TheBodyOfAHugeChunkedStreamNeverPassesTheLimit) {
  HttpParser parser(Role::kServer, {.max_body_bytes = 100'000});
  ASSERT_TRUE(parser.feed("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
  const std::string chunk = "400\r\n" + std::string(0x400, 'x') + "\r\n";
  std::size_t fed = 0;
  while (parser.feed(chunk)) {
    ++fed;
    ASSERT_LT(fed, 1000U);
  }
  EXPECT_EQ(fed, 97U);
  EXPECT_EQ(parser.error_status(), 413);
  EXPECT_LE(parser.body().size(), 100'000U);
}

TEST(HttpParser, ALargeBodyLeavesNoLargeBuffer) {
  HttpParser parser(Role::kServer, {});
  const std::string body(4 * 1024 * 1024, 'x');
  ASSERT_TRUE(parser.feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n"));
  ASSERT_TRUE(parser.feed(body));
  ASSERT_TRUE(parser.done());
  parser.reset();
  EXPECT_LE(parser.body().capacity(), 64U * 1024);
}

TEST(HttpParser, TheEndOfTheStream) {
  HttpParser server(Role::kServer, {});
  EXPECT_FALSE(server.feed_eof());
  server.reset();
  ASSERT_TRUE(server.feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh"));
  EXPECT_EQ(server.feed_eof().error().message, "the connection closed in the middle of the body");
  server.reset();
  ASSERT_TRUE(server.feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_TRUE(server.feed_eof());
}

// The client's role, with the end of the stream behind each row.
std::string response_verdict(std::string_view bytes, std::size_t step, std::string& body) {
  HttpParser parser(Role::kClient, kRawLimits);
  std::string kept;
  int interim = 0;
  for (std::size_t begin = 0; begin < bytes.size(); begin += step) {
    kept += bytes.substr(begin, step);
    while (!parser.done() && !kept.empty()) {
      const auto used = parser.feed(kept);
      if (!used) return "bad";
      kept.erase(0, *used);
      if (parser.done() && parser.status() / 100 == 1) {
        if (parser.status() == 101 || ++interim > 16) return "bad";
        parser.reset();
      }
      if (*used == 0) break;
    }
  }
  const bool before_the_end = parser.done();
  const bool until_close = !before_the_end && parser.feed_eof().has_value();
  body = parser.body();
  if (until_close) return "eof";
  if (!before_the_end) return "cut";
  return parser.keep_alive() && kept.empty() ? "ok" : "close";
}

TEST(HttpParser, RawResponsesHaveTheirVerdicts) {
  const auto rows = load_raw_messages(LLM_TESTDATA "/raw_responses.txt");
  ASSERT_GT(rows.size(), 30U);
  for (const auto& row : rows) {
    for (const std::size_t step : {row.bytes.size() + 1, std::size_t{1}, std::size_t{7}}) {
      SCOPED_TRACE(row.name + ", in pieces of " + std::to_string(step));
      std::string body;
      EXPECT_EQ(response_verdict(row.bytes, step, body), row.verdict);
      if (row.verdict != "bad" && row.verdict != "cut") {
        EXPECT_EQ(body, row.body);
      }
    }
  }
}

TEST(HttpParser, AnAnswerToHeadHasNoBody) {
  HttpParser parser(Role::kClient, {});
  parser.reset(true);
  ASSERT_TRUE(parser.feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"));
  EXPECT_TRUE(parser.done());
  EXPECT_TRUE(parser.keep_alive());
  parser.reset(true);
  ASSERT_TRUE(parser.feed("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"));
  EXPECT_TRUE(parser.done());
}

}  // namespace
}  // namespace llm::net
