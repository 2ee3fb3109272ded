#include "cli/commands/line_reader.h"

#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "base/strings.h"

namespace llm::cli {

Result<std::optional<std::string>> LineReader::next(const Interrupt& interrupt) {
  for (;;) {
    if (const std::size_t end = buffer_.find('\n'); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      if (line.ends_with('\r')) line.pop_back();
      return line;
    }
    if (ended_) {
      if (buffer_.empty()) return std::optional<std::string>();
      return std::exchange(buffer_, {});
    }
    std::array<pollfd, 2> waits{{{fd_, POLLIN, 0}, {interrupt.fd(), POLLIN, 0}}};
    const int ready = ::poll(waits.data(), waits.size(), -1);
    if (interrupt.pending()) {
      buffer_.clear();
      return fail(ErrorCode::kCancelled, "interrupted");
    }
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return fail(errno_error(errno, "cannot wait for input"));
    std::array<char, 4096> bytes{};
    const ssize_t got = ::read(fd_, bytes.data(), bytes.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return fail(errno_error(errno, "cannot read input"));
    if (got == 0) ended_ = true;
    buffer_.append(bytes.data(), static_cast<std::size_t>(got));
  }
}

Result<std::string> read_to_end(int fd, std::size_t most) {
  std::string text;
  std::array<char, 64 * 1024> bytes{};
  for (;;) {
    const ssize_t got = ::read(fd, bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) return fail(ErrorCode::kCancelled, "interrupted");
    if (got < 0) return fail(errno_error(errno, "cannot read standard input"));
    if (got == 0) return text;
    text.append(bytes.data(), static_cast<std::size_t>(got));
    if (text.size() > most) {
      return fail(ErrorCode::kPayloadTooLarge,
                  fmt::format("standard input holds more than {}; a prompt cannot be that long", format_bytes(most)));
    }
  }
}

}  // namespace llm::cli
