#pragma once

#include <atomic>

namespace llm::cli {

// Ctrl-C (SIGINT) as a wish instead of the end: while one exists, the first interrupt sets a flag and makes a
// descriptor readable; a second one before consume() ends the process with status 130. One at a time, on the main
// thread. A process has one set of signal handlers, so this is the one place of the program with static state.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();  // the default action again
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  const std::atomic<bool>& flag() const;
  bool pending() const { return flag().load(std::memory_order_relaxed); }
  int fd() const;  // readable while one is pending; -1 if the system had no descriptor to give
  void consume();  // the wish has been granted
};

// Of shells: 128 + SIGINT.
inline constexpr int kInterruptedStatus = 130;

}  // namespace llm::cli
