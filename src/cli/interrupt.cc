#include "cli/interrupt.h"

#include <cerrno>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

namespace llm::cli {
namespace {

std::atomic<bool> interrupted{false};
std::atomic<int> write_end{-1};
int read_end = -1;
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);  // for signal handlers

void set_nonblocking(int fd) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void on_signal(int) {
  if (interrupted.exchange(true)) ::_exit(kInterruptedStatus);
  const int saved = errno;
  const char byte = 0;
  if (const int fd = write_end.load(); fd >= 0 && ::write(fd, &byte, 1) < 0) {
    // The pipe is full, so it is readable already.
  }
  errno = saved;
}

}  // namespace

Interrupt::Interrupt() {
  interrupted = false;
  if (int ends[2]; ::pipe(ends) == 0) {
    set_nonblocking(ends[0]);
    set_nonblocking(ends[1]);
    read_end = ends[0];
    write_end = ends[1];
  }
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);  // no SA_RESTART: a blocked read of a line is to return
  ::sigaction(SIGINT, &action, nullptr);
}

Interrupt::~Interrupt() {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  if (const int fd = write_end.exchange(-1); fd >= 0) ::close(fd);
  if (read_end >= 0) ::close(read_end);
  read_end = -1;
}

const std::atomic<bool>& Interrupt::flag() const {
  return interrupted;
}

int Interrupt::fd() const {
  return read_end;
}

void Interrupt::consume() {
  char bytes[16];
  while (read_end >= 0 && ::read(read_end, bytes, sizeof bytes) > 0) {
  }
  interrupted = false;
}

}  // namespace llm::cli
