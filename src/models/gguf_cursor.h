#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"

namespace llm::models {

// Reads a GGUF header forward, either from a window that slides over an open file or from bytes in memory. Every step
// is checked against the real size of the file before anything is read or allocated, so a length that lies costs
// nothing. Errors name the byte offset. The file is read by position, not mapped: a file that shrinks meanwhile is an
// error, not a signal.
class GgufCursor {
 public:
  GgufCursor(int fd, std::filesystem::path path, std::uint64_t file_size);
  GgufCursor(std::span<const std::byte> head, std::uint64_t file_size);

  std::uint64_t offset() const { return offset_; }
  std::uint64_t file_size() const { return file_size_; }
  std::uint64_t remaining() const { return file_size_ - offset_; }

  // An unsigned little-endian number of `size` bytes (1, 2, 4 or 8).
  Result<std::uint64_t> number(std::size_t size, std::string_view what);
  Result<void> skip(std::uint64_t bytes, std::string_view what);
  // A length (8 bytes) and that many bytes. Keeps the first `keep` of them, refuses lengths above `limit`.
  struct Text {
    std::string bytes;
    bool complete = true;
  };
  Result<Text> text(std::uint64_t keep, std::uint64_t limit, std::string_view what);

 private:
  // Makes `size` bytes (at most kWindow) readable at the cursor.
  Result<const std::byte*> need(std::size_t size, std::string_view what);
  Result<void> fits(std::uint64_t bytes, std::string_view what) const;
  Result<void> refill();

  int fd_ = -1;
  std::filesystem::path path_;
  std::uint64_t file_size_;
  std::uint64_t offset_ = 0;
  std::vector<std::byte> buffer_;      // the window of a file
  std::span<const std::byte> window_;  // what is readable now
  std::uint64_t window_start_ = 0;     // file offset of window_[0]
};

}  // namespace llm::models
