#pragma once

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "async/child_process.h"
#include "base/error.h"

namespace llm {

// The half of ChildProcess that knows fork and exec; used by it alone.

// Owns one descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { reset(); }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

struct LaunchedChild {
  pid_t pid;
  Fd output;        // reads stdout and stderr, of a piped child stderr alone; non-blocking
  Fd input = {};    // piped: writes to its stdin
  Fd answers = {};  // piped: reads its stdout
};

// See ChildProcess::start. Returns once exec has succeeded; after a failure nothing is left to reap.
Result<LaunchedChild> launch_child(const ChildSpec& spec);

// waitid(2) for the child's end, with `options` beside WEXITED, which a signal does not interrupt; true when it has
// ended.
bool wait_for_child(pid_t pid, int options, siginfo_t& info);

}  // namespace llm
