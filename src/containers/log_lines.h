#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace llm::containers {

enum class LogStream { kStdout, kStderr };

// A container's log as lines, from the body of GET /containers/{id}/logs?timestamps=1 in any slices. Sans-IO.
//
// Without a terminal the body consists of frames (Docker Engine API, "Attach to a container", stream format): one byte
// 0 to 2 for the stream, three zero bytes, four bytes of length in network order, then the bytes. With a terminal it is
// the bytes alone. Each frame, and each line of a terminal, begins with the time at which it was written; the time is
// cut off and the last one kept, to go on from there after an interruption. A program may write a line in several
// frames, and frames of both streams may alternate in the middle of a line.
//
// LF, CR and CRLF end a line: progress bars redraw theirs with CR. Empty lines are dropped.
class LogLines {
 public:
  static constexpr std::size_t kMaxLine = 8192;               // bytes; the rest of a longer line is dropped
  static constexpr std::size_t kMaxFrame = 64 * 1024 * 1024;  // a longer one is no frame

  using OnLine = std::function<void(LogStream stream, std::string_view line)>;  // the view lives during the call

  explicit LogLines(bool terminal) : terminal_(terminal) {}

  // kMalformed: these are no frames; the reader stays failed.
  Result<void> feed(std::string_view bytes, const OnLine& on_line);
  // The stream ended: what has no line end yet is a line too. The reader begins anew, but for last_time().
  void finish(const OnLine& on_line);

  // For the `since` of the request that goes on behind the last line: seconds since 1970 with nanoseconds
  // ("1700000000.123456790", one after the last line's); empty before the first.
  std::string resume_since() const;

 private:
  struct Line {
    std::string text;
    std::string time;     // what has come of the time at the start of a frame or line
    bool in_time = true;  // at such a start
  };

  void begin_frame();
  void feed_text(Line& line, LogStream stream, std::string_view bytes, const OnLine& on_line);
  void feed_time(Line& line, std::string_view& bytes);
  void end_time(Line& line, bool complete);
  void end_line(Line& line, LogStream stream, const OnLine& on_line);
  static void append(Line& line, std::string_view bytes);

  bool terminal_;
  bool failed_ = false;
  std::array<Line, 2> lines_;
  std::array<unsigned char, 8> header_{};
  std::size_t header_size_ = 0;
  std::uint32_t frame_left_ = 0;
  std::optional<std::int64_t> last_ns_;
};

// "2026-01-31T12:00:00.123456789Z" or with an offset such as "+01:00" (RFC 3339): nanoseconds since 1970.
std::optional<std::int64_t> parse_time_ns(std::string_view text);

}  // namespace llm::containers
