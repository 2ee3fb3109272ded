#include "mcp/line_reader.h"

#include <cstring>

namespace llm::mcp {
namespace {

constexpr std::size_t kKeepBytes = std::size_t{1} << 20;  // a buffer that grew beyond this is given back when empty

}  // namespace

std::span<char> LineReader::space(std::size_t bytes) {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    scanned_ -= begin_;
    begin_ = 0;
  }
  if (end_ == 0 && buffer_.capacity() > kKeepBytes) buffer_ = {};
  if (buffer_.size() < end_ + bytes) buffer_.resize(end_ + bytes);
  return std::span(buffer_).subspan(end_);
}

std::optional<LineReader::Line> LineReader::next() {
  while (scanned_ < end_) {
    const void* newline = std::memchr(buffer_.data() + scanned_, '\n', end_ - scanned_);
    if (newline == nullptr) {
      scanned_ = end_;
      break;
    }
    const auto length = static_cast<std::size_t>(static_cast<const char*>(newline) - buffer_.data()) - begin_;
    auto line = cut(length);
    ++begin_;  // the newline
    scanned_ = begin_;
    if (line) return line;
  }
  if (end_ - begin_ <= max_ + 1) return std::nullopt;  // one more than the limit may be a \r
  const bool report = !discarding_;
  discarding_ = true;
  begin_ = scanned_ = end_;
  if (!report) return std::nullopt;
  return Line{{}, true};
}

std::optional<LineReader::Line> LineReader::last() {
  auto line = cut(end_ - begin_);
  scanned_ = begin_;
  return line;
}

std::optional<LineReader::Line> LineReader::cut(std::size_t length) {
  std::string_view text(buffer_.data() + begin_, length);
  begin_ += length;
  if (discarding_) {
    discarding_ = false;
    return std::nullopt;
  }
  if (text.ends_with('\r')) text.remove_suffix(1);
  if (text.size() > max_) return Line{{}, true};
  if (text.find_first_not_of(" \t\r") == std::string_view::npos) return std::nullopt;
  return Line{text, false};
}

}  // namespace llm::mcp
