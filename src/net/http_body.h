#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace llm::net {

// How a message says where its body ends (RFC 9112 section 6.3).
enum class BodyKind { kNone, kLength, kChunked, kUntilClose };

// Takes the framing off a body, byte by byte and sans-IO: whatever way the bytes arrive in, the outcome is the same.
// The chunked grammar is read to the letter (section 7.1): a size is hex digits and nothing else, every line ends with
// CRLF. Extensions and trailers are checked for shape and size and then dropped, so a trailer can never act as a
// header.
class BodyReader {
 public:
  // Starts a body of at most `most` bytes; `length` counts for kLength only.
  Result<void> start(BodyKind kind, std::uint64_t length, std::uint64_t most);
  // Appends body bytes to `out`; returns how many of `bytes` belong to this message (all, until done).
  // Errors: kPayloadTooLarge, kMalformed; final.
  Result<std::size_t> feed(std::string_view bytes, std::string& out);
  // The peer closed: the end of a kUntilClose body, an error in the middle of another.
  Result<void> feed_eof();

  bool done() const { return state_ == State::kDone; }
  BodyKind kind() const { return kind_; }

 private:
  enum class State {
    kData,  // of the body or of the current chunk
    kSize,
    kExtension,
    kSizeLf,
    kDataCr,
    kDataLf,
    kTrailerStart,
    kTrailerName,
    kTrailerValue,
    kTrailerLf,
    kLastLf,
    kDone,
  };
  Result<void> chunk_byte(unsigned char byte);
  Result<void> size_byte(unsigned char byte);
  Result<void> trailer_byte(unsigned char byte);
  Result<void> chunk_begins();
  Result<void> too_large() const;

  BodyKind kind_ = BodyKind::kNone;
  State state_ = State::kDone;
  std::uint64_t most_ = 0;
  std::uint64_t left_ = 0;   // of the body (kLength) or of the current chunk; the size while it is read
  std::uint64_t total_ = 0;  // body bytes announced so far
  int digits_ = 0;
  std::size_t overhead_ = 0;  // bytes of extensions and trailers of the whole message
};

}  // namespace llm::net
