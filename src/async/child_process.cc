#include "async/child_process.h"

#include <array>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include "async/child_launch.h"

#ifdef __linux__
#include <sys/syscall.h>
#endif

namespace llm {
namespace {

ExitStatus to_status(const siginfo_t& info) {
  switch (info.si_code) {
    case CLD_EXITED:
      return {ExitStatus::Kind::kExited, info.si_status};
    case CLD_KILLED:
    case CLD_DUMPED:
      return {ExitStatus::Kind::kSignalled, info.si_status};
    default:
      return {};
  }
}

int open_pidfd([[maybe_unused]] pid_t pid) {
#if defined(__linux__) && defined(SYS_pidfd_open)
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));  // close-on-exec by itself; Linux 5.3
#else
  return -1;
#endif
}

}  // namespace

std::string ExitStatus::text() const {
  switch (kind) {
    case Kind::kExited:
      return fmt::format("exited with code {}", code);
    case Kind::kSignalled: {
#ifdef __GLIBC__
      if (const char* name = ::sigabbrev_np(code)) return fmt::format("was ended by signal {} ({})", code, name);
#endif
      return fmt::format("was ended by signal {}", code);
    }
    case Kind::kUnknown:
      break;
  }
  return "ended; its exit status was taken by somebody else";
}

struct ChildProcess::State : std::enable_shared_from_this<State> {
  using Descriptor = boost::asio::posix::basic_stream_descriptor<Executor>;
  using Timer = boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                                  boost::asio::wait_traits<std::chrono::steady_clock>, Executor>;
  static constexpr std::size_t kMostAfterExit = 1 << 20;        // bytes read from others who still hold the pipe
  static constexpr std::chrono::milliseconds kPollPeriod{100};  // only where the system has no pidfd

  State(const Executor& executor, const ChildSpec& spec, OnLine line, OnExit exit)
      : output(executor),
        exit_watch(executor),
        exit_poll(executor),
        on_line(std::move(line)),
        on_exit(std::move(exit)),
        group(spec.own_process_group) {}

  Descriptor output;
  Descriptor exit_watch;
  Timer exit_poll;
  Fd pipe_in, pipe_out;  // ours of the child's stdin and stdout, until they are taken
  OnLine on_line;
  OnExit on_exit;
  std::string line;        // the unfinished last line
  bool cut = false;        // `line` is full: drop what comes until the line ends
  bool returned = false;   // the last line ended in a carriage return, whose line feed may follow
  bool abandoned = false;  // the owner is gone: no more callbacks
  bool ended = false;
  bool group;
  pid_t pid = -1;

  // Until the child is reaped, its id and that of its group cannot name anybody else.
  void send(int signal) const {
    if (!ended) ::kill(group ? -pid : pid, signal);
  }

  void watch_output() {
    output.async_wait(Descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
      if (error || self->abandoned || self->ended) return;
      if (self->read_some() != 0) self->watch_output();
    });
  }

  void watch_exit() {
    auto handler = [self = shared_from_this()](const boost::system::error_code& error) {
      if (error || self->abandoned) return;
      self->check_exit();
    };
    if (exit_watch.is_open()) {
      exit_watch.async_wait(Descriptor::wait_read, std::move(handler));
    } else {
      exit_poll.expires_after(kPollPeriod);
      exit_poll.async_wait(std::move(handler));
    }
  }

  // Bytes read; 0 at the end of the output; -1 when there is nothing now.
  ssize_t read_some() {
    std::array<char, 16384> buffer;
    ssize_t count;
    do {
      count = ::read(output.native_handle(), buffer.data(), buffer.size());
    } while (count < 0 && errno == EINTR);
    if (count > 0) take({buffer.data(), static_cast<std::size_t>(count)});
    return count < 0 && errno != EAGAIN ? 0 : count;
  }

  void take(std::string_view bytes) {
    while (!bytes.empty() && !abandoned) {
      const auto end = bytes.find_first_of("\n\r");
      const auto part = bytes.substr(0, end);
      if (!cut) line.append(part.substr(0, kMaxLine - line.size()));
      cut = line.size() == kMaxLine;
      if (!part.empty()) returned = false;
      if (end == std::string_view::npos) return;
      const bool carriage_return = bytes[end] == '\r';
      bytes.remove_prefix(end + 1);
      if (carriage_return ? line.empty() : std::exchange(returned, false)) continue;  // the line was delivered before
      returned = carriage_return;
      deliver();
    }
  }

  void deliver() {
    if (on_line) on_line(line);
    line.clear();
    cut = false;
  }

  // The group is killed between the child's end and its reaping: whatever it started must not stay behind, and until
  // then the group's number is certainly still ours.
  ExitStatus reap() {
    if (group) ::kill(-pid, SIGKILL);
    siginfo_t info;
    wait_for_child(pid, 0, info);
    ended = true;
    return to_status(info);
  }

  void check_exit() {
    siginfo_t info;
    if (!wait_for_child(pid, WNOWAIT | WNOHANG, info)) return watch_exit();
    const ExitStatus status = reap();
    // What the child wrote is in the pipe by now, so there is no need to wait for its end, which a stranger who
    // inherited it could delay for ever.
    for (std::size_t total = 0; !abandoned && total < kMostAfterExit;) {
      const auto count = read_some();
      if (count <= 0) break;
      total += static_cast<std::size_t>(count);
    }
    if (!abandoned && !line.empty()) deliver();
    close();
    if (!abandoned && on_exit) on_exit(status);
  }

  void close() {
    boost::system::error_code ignored;
    output.close(ignored);
    exit_watch.close(ignored);
    exit_poll.cancel();
  }
};

ChildProcess::ChildProcess(std::shared_ptr<State> state) : state_(std::move(state)) {}

ChildProcess::~ChildProcess() {
  state_->abandoned = true;
  state_->send(SIGKILL);
  if (!state_->ended) state_->reap();
  state_->close();
}

Result<std::unique_ptr<ChildProcess>> ChildProcess::start(const Executor& executor, const ChildSpec& spec,
                                                          OnLine on_output_line, OnExit on_exit) {
  auto started = launch_child(spec);
  if (!started) return fail(started.error());
  auto state = std::make_shared<State>(executor, spec, std::move(on_output_line), std::move(on_exit));
  state->pid = started->pid;
  std::unique_ptr<ChildProcess> child(new ChildProcess(state));  // from here on a failure ends the program
  state->output.assign(started->output.release());
  state->pipe_in = std::move(started->input);
  state->pipe_out = std::move(started->answers);
  if (const int pidfd = open_pidfd(state->pid); pidfd >= 0) state->exit_watch.assign(pidfd);
  state->watch_output();
  state->watch_exit();
  return child;
}

ChildPipes ChildProcess::take_pipes() {
  return {state_->pipe_in.release(), state_->pipe_out.release()};
}
void ChildProcess::terminate() {
  state_->send(SIGTERM);
}
void ChildProcess::kill() {
  state_->send(SIGKILL);
}
pid_t ChildProcess::pid() const {
  return state_->pid;
}
bool ChildProcess::running() const {
  return !state_->ended;
}

}  // namespace llm
