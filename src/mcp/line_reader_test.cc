#include "mcp/line_reader.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace llm::mcp {
namespace {

void feed(LineReader& reader, std::string_view bytes) {
  const auto space = reader.space(bytes.size());
  ASSERT_GE(space.size(), bytes.size());
  std::ranges::copy(bytes, space.begin());
  reader.filled(bytes.size());
}

// What comes out, "!" for a line that was too long.
void drain(LineReader& reader, std::vector<std::string>& lines) {
  while (const auto line = reader.next()) lines.emplace_back(line->too_long ? "!" : line->text);
}

std::vector<std::string> read(LineReader& reader, std::string_view bytes, std::size_t piece) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    feed(reader, bytes.substr(at, piece));
    drain(reader, lines);
  }
  if (const auto line = reader.last()) lines.emplace_back(line->too_long ? "!" : line->text);
  return lines;
}

using Lines = std::vector<std::string>;

TEST(LineReader, CutsLinesHoweverTheyArrive) {
  for (std::size_t piece = 1; piece <= 20; ++piece) {
    LineReader reader(10);
    EXPECT_EQ(read(reader, "one\ntwo\r\n\n  \t\r\nthree\n", piece), (Lines{"one", "two", "three"})) << piece;
    EXPECT_FALSE(reader.last()) << piece;
  }
}

TEST(LineReader, TheLastLineNeedsNoNewline) {
  LineReader reader(10);
  EXPECT_EQ(read(reader, "one\ntwo", 3), (Lines{"one", "two"}));
  EXPECT_FALSE(reader.last());
}

TEST(LineReader, ALineMayBeAsLongAsTheLimit) {
  for (std::size_t piece = 1; piece <= 40; ++piece) {
    LineReader reader(5);
    EXPECT_EQ(read(reader, "12345\n12345\r\n123456\n1\n1234567890123\n2\n12345", piece),
              (Lines{"12345", "12345", "!", "1", "!", "2", "12345"}))
        << piece;
  }
}

TEST(LineReader, AnEndlessLineIsReportedOnceAndNotKept) {
  LineReader reader(1000);
  std::vector<std::string> lines;
  const std::string piece(500, 'x');
  for (int i = 0; i < 100; ++i) {
    feed(reader, piece);
    drain(reader, lines);
    EXPECT_LE(reader.space(500).size(), 4000U);
  }
  feed(reader, "\nnext\n");
  drain(reader, lines);
  EXPECT_EQ(lines, (Lines{"!", "next"}));
}

TEST(LineReader, AnOverlongLastLine) {
  LineReader reader(3);
  EXPECT_EQ(read(reader, "1234", 4), (Lines{"!"}));
  LineReader longer(3);
  EXPECT_EQ(read(longer, "123456789", 1), (Lines{"!"}));
}

}  // namespace
}  // namespace llm::mcp
