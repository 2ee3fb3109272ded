#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "cli/interrupt.h"

namespace llm::cli {

// Lines from a descriptor (a terminal that edits them itself), with Ctrl-C noticed while waiting.
class LineReader {
 public:
  explicit LineReader(int fd) : fd_(fd) {}

  // The next line without its end; nullopt at the end of input. kCancelled: the interrupt became pending first.
  Result<std::optional<std::string>> next(const Interrupt& interrupt);

 private:
  int fd_;
  std::string buffer_;
  bool ended_ = false;
};

// Everything up to the end of input. kPayloadTooLarge after `most` bytes.
Result<std::string> read_to_end(int fd, std::size_t most);

}  // namespace llm::cli
