#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace llm::mcp {

// Bytes in, lines out (newline-delimited messages). Reads straight into its own buffer, hands out views of it.
// Lines end with \n or \r\n; blank ones are skipped. A line longer than the limit is reported once and its bytes are
// thrown away as they come, so that no client makes us hold more than the limit plus one read.
class LineReader {
 public:
  struct Line {
    std::string_view text;  // until the next call of `space`; empty if too long
    bool too_long = false;
  };

  explicit LineReader(std::size_t max_line_bytes) : max_(max_line_bytes) {}

  // At least `bytes` of room to read into; then say with `filled` how many arrived.
  std::span<char> space(std::size_t bytes);
  void filled(std::size_t bytes) { end_ += bytes; }

  // The next complete line. Call until nullopt before asking for space again.
  std::optional<Line> next();
  // What is left when the input ends without a newline, once.
  std::optional<Line> last();

  std::size_t max_line_bytes() const { return max_; }

 private:
  std::optional<Line> cut(std::size_t length);  // nullopt: nothing to report

  std::size_t max_;
  std::string buffer_;
  std::size_t begin_ = 0;    // first byte not handed out
  std::size_t scanned_ = 0;  // no newline in [begin_, scanned_)
  std::size_t end_ = 0;      // end of what was read
  bool discarding_ = false;  // inside a line that was reported as too long
};

}  // namespace llm::mcp
