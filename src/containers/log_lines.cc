#include "containers/log_lines.h"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>

#include "base/strings.h"

namespace llm::containers {
namespace {

constexpr std::size_t kLongestTime = 40;  // "2026-01-31T12:00:00.123456789+01:00" has 35
constexpr std::int64_t kNanoseconds = 1'000'000'000;

bool may_be_time(char c) {
  return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == ':' || c == '.' || c == 'T' || c == 'Z';
}

std::optional<int> digits(std::string_view text, std::size_t at, std::size_t count) {
  if (text.size() < at + count || text[at] == '-') return std::nullopt;
  return parse_number<int>(text.substr(at, count));
}

// Nanoseconds of ".123" and how many characters that took; nullopt if it has no digits or more than nine.
std::optional<std::pair<std::int64_t, std::size_t>> fraction(std::string_view text) {
  if (!text.starts_with('.')) return std::pair<std::int64_t, std::size_t>(0, 0);
  std::int64_t ns = 0;
  std::size_t size = 1;
  for (; size < text.size() && text[size] >= '0' && text[size] <= '9'; ++size) ns = ns * 10 + (text[size] - '0');
  if (size == 1 || size > 10) return std::nullopt;
  for (std::size_t i = size; i < 10; ++i) ns *= 10;
  return std::pair(ns, size);
}

}  // namespace

std::optional<std::int64_t> parse_time_ns(std::string_view text) {
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  const auto year = digits(text, 0, 4);
  const auto month = digits(text, 5, 2);
  const auto day = digits(text, 8, 2);
  const auto hour = digits(text, 11, 2);
  const auto minute = digits(text, 14, 2);
  const auto second = digits(text, 17, 2);
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  // Later and earlier ones do not fit into 64 bits of nanoseconds.
  if (!date.ok() || *year < 1970 || *year > 2200 || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  const auto part = fraction(text.substr(19));
  if (!part) return std::nullopt;
  std::int64_t seconds = std::chrono::sys_days(date).time_since_epoch().count() * std::int64_t{86'400};
  seconds += *hour * 3600 + *minute * 60 + *second;
  const std::string_view zone = text.substr(19 + part->second);
  if (zone != "Z") {
    const auto hours = digits(zone, 1, 2);
    const auto minutes = digits(zone, 4, 2);
    if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':' || !hours || !minutes) {
      return std::nullopt;
    }
    seconds += (zone[0] == '+' ? -1 : 1) * (*hours * 3600 + *minutes * 60);
  }
  return seconds * kNanoseconds + part->first;
}

Result<void> LogLines::feed(std::string_view bytes, const OnLine& on_line) {
  if (terminal_) {
    feed_text(lines_[0], LogStream::kStdout, bytes, on_line);
    return {};
  }
  while (!bytes.empty() && !failed_) {
    if (header_size_ < header_.size()) {
      header_[header_size_++] = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      if (header_size_ < header_.size()) continue;
      begin_frame();
      if (failed_) break;
    }
    const LogStream stream = header_[0] == 2 ? LogStream::kStderr : LogStream::kStdout;
    Line& line = lines_[stream == LogStream::kStderr ? 1 : 0];
    const std::string_view piece = bytes.substr(0, frame_left_);
    feed_text(line, stream, piece, on_line);
    bytes.remove_prefix(piece.size());
    frame_left_ -= static_cast<std::uint32_t>(piece.size());
    if (frame_left_ > 0) break;
    end_time(line, false);
    header_size_ = 0;
  }
  if (failed_) return fail(ErrorCode::kMalformed, "the container's log does not consist of frames");
  return {};
}

void LogLines::begin_frame() {
  frame_left_ = std::uint32_t{header_[4]} << 24 | std::uint32_t{header_[5]} << 16 | std::uint32_t{header_[6]} << 8 |
                std::uint32_t{header_[7]};
  failed_ = header_[0] > 2 || header_[1] != 0 || header_[2] != 0 || header_[3] != 0 || frame_left_ > kMaxFrame;
  lines_[header_[0] == 2 ? 1 : 0].in_time = true;
}

void LogLines::finish(const OnLine& on_line) {
  for (const auto stream : {LogStream::kStdout, LogStream::kStderr}) {
    Line& line = lines_[stream == LogStream::kStderr ? 1 : 0];
    end_time(line, false);
    end_line(line, stream, on_line);
    line.in_time = true;
  }
  header_size_ = 0;
  frame_left_ = 0;
  failed_ = false;
}

std::string LogLines::resume_since() const {
  if (!last_ns_) return {};
  return fmt::format("{}.{:09}", (*last_ns_ + 1) / kNanoseconds, (*last_ns_ + 1) % kNanoseconds);
}

void LogLines::feed_text(Line& line, LogStream stream, std::string_view bytes, const OnLine& on_line) {
  while (!bytes.empty()) {
    if (line.in_time) {
      feed_time(line, bytes);
      continue;
    }
    const auto end = bytes.find_first_of("\r\n");
    append(line, bytes.substr(0, end));
    if (end == std::string_view::npos) return;
    const bool feed = bytes[end] == '\n';
    bytes.remove_prefix(end + 1);
    end_line(line, stream, on_line);
    // A frame has one time, a terminal one for each line that the program ended itself.
    line.in_time = terminal_ && feed;
  }
}

// Takes what still belongs to the time. Anything that is none goes to the line.
void LogLines::feed_time(Line& line, std::string_view& bytes) {
  while (!bytes.empty()) {
    if (bytes.front() == ' ') {
      const bool before = parse_time_ns(line.time).has_value();
      if (before) bytes.remove_prefix(1);
      end_time(line, true);
      return;
    }
    if (!may_be_time(bytes.front()) || line.time.size() == kLongestTime) {
      end_time(line, false);
      return;
    }
    line.time.push_back(bytes.front());
    bytes.remove_prefix(1);
  }
}

void LogLines::end_time(Line& line, bool complete) {
  if (!line.in_time) return;
  line.in_time = false;
  const auto time = complete ? parse_time_ns(line.time) : std::nullopt;
  if (time) {
    last_ns_ = std::max(last_ns_.value_or(*time), *time);
  } else {
    append(line, line.time);
  }
  line.time.clear();
}

void LogLines::end_line(Line& line, LogStream stream, const OnLine& on_line) {
  if (!line.text.empty()) on_line(stream, line.text);
  line.text.clear();
}

void LogLines::append(Line& line, std::string_view bytes) {
  line.text.append(bytes.substr(0, kMaxLine - std::min(kMaxLine, line.text.size())));
}

}  // namespace llm::containers
