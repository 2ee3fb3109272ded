#include "models/gguf_cursor.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <unistd.h>
#include <utility>

#include "base/strings.h"

namespace llm::models {

namespace {

constexpr std::size_t kWindow = 256 * 1024;

}  // namespace

GgufCursor::GgufCursor(int fd, std::filesystem::path path, std::uint64_t file_size)
    : fd_(fd), path_(std::move(path)), file_size_(file_size) {}

GgufCursor::GgufCursor(std::span<const std::byte> head, std::uint64_t file_size)
    : file_size_(std::max<std::uint64_t>(file_size, head.size())), window_(head) {}

Result<void> GgufCursor::fits(std::uint64_t bytes, std::string_view what) const {
  if (bytes <= remaining()) return {};
  return fail(ErrorCode::kMalformed,
              fmt::format("{} at byte {} needs {} more bytes, but the file ends after {} bytes; it is cut short or "
                          "corrupt: get it again",
                          what, offset_, bytes, file_size_));
}

Result<void> GgufCursor::refill() {
  if (fd_ < 0) {
    return fail(ErrorCode::kMalformed,
                fmt::format("the header goes on after the first {} bytes given", window_.size()));
  }
  buffer_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kWindow, remaining())));
  std::size_t filled = 0;
  while (filled < buffer_.size()) {
    const ssize_t got =
        ::pread(fd_, buffer_.data() + filled, buffer_.size() - filled, static_cast<off_t>(offset_ + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int saved = errno;
      return fail(errno_error(saved, fmt::format("cannot read {}", path_.string())));
    }
    if (got == 0) {
      return fail(ErrorCode::kMalformed, fmt::format("{} became shorter while it was read", path_.string()));
    }
    filled += static_cast<std::size_t>(got);
  }
  window_ = buffer_;
  window_start_ = offset_;
  return {};
}

Result<const std::byte*> GgufCursor::need(std::size_t size, std::string_view what) {
  if (auto ok = fits(size, what); !ok) return fail(std::move(ok.error()));
  const auto inside = [&] {
    return offset_ >= window_start_ && offset_ - window_start_ <= window_.size() &&
           window_.size() - (offset_ - window_start_) >= size;
  };
  if (!inside()) {
    if (auto ok = refill(); !ok) return fail(std::move(ok.error()));
  }
  return window_.data() + (offset_ - window_start_);
}

Result<std::uint64_t> GgufCursor::number(std::size_t size, std::string_view what) {
  const auto bytes = need(size, what);
  if (!bytes) return fail(bytes.error());
  std::uint64_t value = 0;
  for (std::size_t i = size; i-- > 0;) value = (value << 8) | std::to_integer<std::uint64_t>((*bytes)[i]);
  offset_ += size;
  return value;
}

Result<void> GgufCursor::skip(std::uint64_t bytes, std::string_view what) {
  if (auto ok = fits(bytes, what); !ok) return ok;
  offset_ += bytes;
  return {};
}

Result<GgufCursor::Text> GgufCursor::text(std::uint64_t keep, std::uint64_t limit, std::string_view what) {
  const std::uint64_t start = offset_;
  const auto length = number(8, what);
  if (!length) return fail(length.error());
  if (*length > limit) {
    return fail(ErrorCode::kMalformed,
                fmt::format("{} at byte {} claims a length of {} bytes; at most {}", what, start, *length, limit));
  }
  if (auto ok = fits(*length, what); !ok) return fail(std::move(ok.error()));
  Text result;
  std::uint64_t left = std::min(keep, *length);
  result.complete = left == *length;
  const std::uint64_t end = offset_ + *length;
  while (left > 0) {
    const auto step = static_cast<std::size_t>(std::min<std::uint64_t>(left, 64 * 1024));
    const auto bytes = need(step, what);
    if (!bytes) return fail(bytes.error());
    result.bytes.append(reinterpret_cast<const char*>(*bytes), step);
    offset_ += step;
    left -= step;
  }
  offset_ = end;
  return result;
}

}  // namespace llm::models
