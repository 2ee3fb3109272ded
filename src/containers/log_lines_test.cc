#include "containers/log_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <vector>

namespace llm::containers {
namespace {

using testing::ElementsAre;

constexpr std::string_view kTime = "2026-01-31T12:00:00.123456789Z ";

std::string frame(unsigned char stream, std::string_view bytes) {
  std::string out{static_cast<char>(stream), 0, 0, 0};
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(bytes.size() >> shift));
  return out.append(bytes);
}
std::string timed(std::string_view bytes) {
  return std::string(kTime).append(bytes);
}

struct Read {
  std::vector<std::string> lines;  // "out: text", "err: text"
  std::string since;
  bool ok = true;
  friend bool operator==(const Read&, const Read&) = default;
};

Read read(const std::vector<std::string_view>& pieces, bool terminal) {
  Read out;
  LogLines lines(terminal);
  const auto note = [&out](LogStream stream, std::string_view line) {
    out.lines.push_back((stream == LogStream::kStderr ? "err: " : "out: ") + std::string(line));
  };
  for (const auto piece : pieces) out.ok = out.ok && lines.feed(piece, note).has_value();
  if (out.ok) lines.finish(note);
  out.since = lines.resume_since();
  return out;
}

// The same for the whole, for every cut in two, and byte by byte.
Read read_all_ways(const std::string& body, bool terminal) {
  const std::string_view view(body);
  const Read whole = read({view}, terminal);
  for (std::size_t cut = 0; cut <= body.size(); ++cut) {
    EXPECT_EQ(read({view.substr(0, cut), view.substr(cut)}, terminal), whole) << "cut at " << cut;
  }
  std::vector<std::string_view> bytes;
  for (std::size_t i = 0; i < body.size(); ++i) bytes.push_back(view.substr(i, 1));
  EXPECT_EQ(read(bytes, terminal), whole);
  return whole;
}

TEST(LogLines, FramesOfBothStreams) {
  const auto got = read_all_ways(frame(1, timed("one\n")) + frame(2, timed("two ")) + frame(1, timed("three\r\n")) +
                                     frame(2, timed("four\n")) + frame(1, "") + frame(0, timed("five")),
                                 false);
  EXPECT_TRUE(got.ok);
  EXPECT_THAT(got.lines, ElementsAre("out: one", "out: three", "err: two four", "out: five"));
  EXPECT_EQ(got.since, "1769860800.123456790");
}

TEST(LogLines, ATerminalHasNoFrames) {
  const auto got = read_all_ways(timed("first\r\n") + timed("a\rb\r\n") + "no time\n\n" + timed("cut"), true);
  EXPECT_THAT(got.lines, ElementsAre("out: first", "out: a", "out: b", "out: no time", "out: cut"));
  EXPECT_EQ(got.since, "1769860800.123456790");
}

TEST(LogLines, ProgressBarsAreLines) {
  const auto got = read_all_ways(frame(2, timed("\r  0%|  |\r 50%|# |\r100%|##|\n")), false);
  EXPECT_THAT(got.lines, ElementsAre("err:   0%|  |", "err:  50%|# |", "err: 100%|##|"));
}

TEST(LogLines, WhatOnlyLooksLikeATimeBelongsToTheLine) {
  const auto got = read_all_ways(frame(1, "2026 was a year\n") + frame(1, "12:00\n") +
                                     frame(1, timed(timed("twice\n"))) + frame(1, std::string(60, '1') + "\n"),
                                 false);
  EXPECT_THAT(got.lines, ElementsAre("out: 2026 was a year", "out: 12:00", "out: " + timed("twice"),
                                     "out: " + std::string(60, '1')));
}

TEST(LogLines, TheLatestTimeCounts) {
  const auto got = read({frame(1, "2026-01-31T12:00:00.5Z b\n") + frame(2, "2026-01-31T12:00:00.4Z a\n")}, false);
  EXPECT_EQ(got.since, "1769860800.500000001");
  EXPECT_EQ(read({frame(1, "a\n")}, false).since, "");
}

TEST(LogLines, OtherBytesAreRefused) {
  for (const std::string& bad : {std::string(R"({"message":"gone"})"), std::string("\x03\0\0\0\0\0\0\1a", 9),
                                 std::string("\1\0\0\1\0\0\0\1a", 9), std::string("\1\0\0\0\xff\xff\xff\xff", 8)}) {
    const auto got = read_all_ways(frame(1, "good\n") + bad, false);
    EXPECT_FALSE(got.ok);
    EXPECT_THAT(got.lines, ElementsAre("out: good"));
  }
}

TEST(LogLines, LongLinesAreCut) {
  const std::string most(LogLines::kMaxLine, 'x');
  EXPECT_THAT(read({frame(1, most + "\n"), frame(1, most + "y\nz\n")}, false).lines,
              ElementsAre("out: " + most, "out: " + most, "out: z"));
}

TEST(LogLines, BeginAnewAfterTheEnd) {
  LogLines lines(false);
  std::vector<std::string> got;
  const auto note = [&got](LogStream, std::string_view line) { got.emplace_back(line); };
  const std::string whole = frame(1, timed("lost\n"));
  EXPECT_TRUE(lines.feed(whole.substr(0, 12), note));  // cut in the middle of a frame
  lines.finish(note);
  EXPECT_TRUE(lines.feed(frame(1, timed("again\n")), note));
  EXPECT_THAT(got, ElementsAre(timed("").substr(0, 4), "again"));
}

TEST(LogLines, TimesAsRfc3339HasThem) {
  EXPECT_EQ(parse_time_ns("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_time_ns("1970-01-01T00:00:01.000000001Z"), 1'000'000'001);
  EXPECT_EQ(parse_time_ns("1970-01-01T02:00:00.5+01:30"), 1'800'500'000'000);
  EXPECT_EQ(parse_time_ns("1970-01-01T00:00:00-01:00"), 3'600'000'000'000);
  for (const std::string_view bad :
       {"", "2026-01-31", "2026-02-30T00:00:00Z", "2026-01-31T24:00:00Z", "2026-01-31T00:00:00",
        "2026-01-31T00:00:00.Z", "2026-01-31T00:00:00.1234567891Z", "1969-12-31T23:59:59Z", "2300-01-01T00:00:00Z",
        "2026-01-31T00:00:00+0100", "2026-01-31T00:00:00 Z", "2026-01-31T00:-1:00Z"}) {
    EXPECT_FALSE(parse_time_ns(bad)) << bad;
  }
}

}  // namespace
}  // namespace llm::containers
