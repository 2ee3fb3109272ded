#include "net/http_body.h"

#include <algorithm>

#include "base/strings.h"

namespace llm::net {
namespace {

constexpr std::size_t kMostOverhead = 8 * 1024;  // extensions and trailers together; none is known to matter here
constexpr int kMostDigits = 16;                  // 64 bits

int hex_value(unsigned char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
  return -1;
}

bool control(unsigned char byte) {
  return (byte < 0x20 && byte != '\t') || byte == 0x7F;
}

// RFC 9110 section 5.6.2.
bool token(unsigned char byte) {
  return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(byte)) != std::string_view::npos;
}

std::unexpected<Error> bad(std::string message) {
  return fail(ErrorCode::kMalformed, std::move(message));
}

}  // namespace

Result<void> BodyReader::start(BodyKind kind, std::uint64_t length, std::uint64_t most) {
  kind_ = kind;
  most_ = most;
  left_ = 0;
  total_ = 0;
  digits_ = 0;
  overhead_ = 0;
  state_ = State::kDone;
  switch (kind) {
    case BodyKind::kNone:
      break;
    case BodyKind::kLength:
      if (length > most) return too_large();
      left_ = length;
      if (length > 0) state_ = State::kData;
      break;
    case BodyKind::kChunked:
      state_ = State::kSize;
      break;
    case BodyKind::kUntilClose:
      state_ = State::kData;
      break;
  }
  return {};
}

Result<void> BodyReader::too_large() const {
  return fail(ErrorCode::kPayloadTooLarge, "the body is larger than " + format_bytes(most_));
}

Result<std::size_t> BodyReader::feed(std::string_view bytes, std::string& out) {
  std::size_t used = 0;
  while (used < bytes.size() && !done()) {
    if (state_ != State::kData) {
      if (auto ok = chunk_byte(static_cast<unsigned char>(bytes[used])); !ok) return fail(ok.error());
      ++used;
      continue;
    }
    auto piece = bytes.substr(used);
    if (kind_ == BodyKind::kUntilClose) {
      if (piece.size() > most_ - total_) return fail(too_large().error());
      total_ += piece.size();
    } else {
      piece = piece.substr(0, std::min<std::uint64_t>(piece.size(), left_));
      left_ -= piece.size();
      if (left_ == 0) state_ = kind_ == BodyKind::kChunked ? State::kDataCr : State::kDone;
    }
    out.append(piece);
    used += piece.size();
  }
  return used;
}

Result<void> BodyReader::feed_eof() {
  if (kind_ == BodyKind::kUntilClose) state_ = State::kDone;
  if (!done()) return bad("the connection closed in the middle of the body");
  return {};
}

Result<void> BodyReader::chunk_byte(unsigned char byte) {
  switch (state_) {
    case State::kSize:
    case State::kExtension:
      return size_byte(byte);
    case State::kSizeLf:
      if (byte != '\n') return bad("a chunk size line ends without CRLF");
      return chunk_begins();
    case State::kDataCr:
      if (byte != '\r') return bad("a chunk is longer than its size says");
      state_ = State::kDataLf;
      return {};
    case State::kDataLf:
      if (byte != '\n') return bad("a chunk's data ends without CRLF");
      state_ = State::kSize;
      left_ = 0;
      digits_ = 0;
      return {};
    default:
      return trailer_byte(byte);
  }
}

Result<void> BodyReader::size_byte(unsigned char byte) {
  if (byte == '\r' && digits_ > 0) {
    state_ = State::kSizeLf;
    return {};
  }
  if (state_ == State::kExtension) {
    if (control(byte)) return bad("control byte in a chunk extension");
    if (++overhead_ > kMostOverhead) return bad("chunk extensions are too long");
    return {};
  }
  if (byte == ';' && digits_ > 0) {
    state_ = State::kExtension;
    return {};
  }
  const int value = hex_value(byte);
  if (value < 0) return bad("a chunk size is not a plain hexadecimal number");
  if (++digits_ > kMostDigits) return bad("a chunk size has more than 16 digits");
  left_ = left_ << 4 | static_cast<std::uint64_t>(value);
  return {};
}

Result<void> BodyReader::chunk_begins() {
  if (left_ == 0) {
    state_ = State::kTrailerStart;
    return {};
  }
  if (left_ > most_ - total_) return too_large();
  total_ += left_;
  state_ = State::kData;
  return {};
}

Result<void> BodyReader::trailer_byte(unsigned char byte) {
  if (++overhead_ > kMostOverhead) return bad("the trailer section is too long");
  switch (state_) {
    case State::kTrailerStart:
      if (byte == '\r') {
        state_ = State::kLastLf;
        return {};
      }
      if (!token(byte)) return bad("malformed trailer field");
      state_ = State::kTrailerName;
      return {};
    case State::kTrailerName:
      if (byte == ':') {
        state_ = State::kTrailerValue;
      } else if (!token(byte)) {
        return bad("malformed trailer field name");
      }
      return {};
    case State::kTrailerValue:
      if (byte == '\r') {
        state_ = State::kTrailerLf;
      } else if (control(byte)) {
        return bad("control byte in a trailer field");
      }
      return {};
    case State::kTrailerLf:
      if (byte != '\n') return bad("a trailer field ends without CRLF");
      state_ = State::kTrailerStart;
      return {};
    default:
      if (byte != '\n') return bad("the chunked body ends without CRLF");
      state_ = State::kDone;
      return {};
  }
}

}  // namespace llm::net
