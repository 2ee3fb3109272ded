#include "cli/detached_process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/syscall.h>
#endif

namespace llm::cli {
namespace {

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { close(); }
  int get() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

// Above the standard three, so that dup2 onto them cannot overwrite one that is still needed.
int above_standard(int fd) {
  if (fd < 0 || fd > STDERR_FILENO) return fd;
  const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  ::close(fd);
  return moved;
}

int open_pidfd([[maybe_unused]] pid_t pid) {
#if defined(__linux__) && defined(SYS_pidfd_open)
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));  // close-on-exec by itself; Linux 5.3
#else
  return -1;
#endif
}

// What the new processes say over a pipe that exec closes.
struct Report {
  enum class Kind : int { kPid, kFailed } kind;
  int value;  // process id, or errno
};

struct Launch {
  const char* program;
  char* const* argv;
  int null_fd, log_fd, report_fd;
};

void tell(const Launch& launch, Report::Kind kind, int value) {
  const Report report{kind, value};
  [[maybe_unused]] const auto written = ::write(launch.report_fd, &report, sizeof report);
}

// Both functions run after fork: only async-signal-safe calls (signal-safety(7)).
[[noreturn]] void run_program(const Launch& launch) {
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &standard, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::dup2(launch.null_fd, STDIN_FILENO) >= 0 && ::dup2(launch.null_fd, STDOUT_FILENO) >= 0 &&
      ::dup2(launch.log_fd, STDERR_FILENO) >= 0) {
#if defined(__linux__) && defined(SYS_close_range)
    ::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);  // what a library opened without O_CLOEXEC
#endif
    ::execv(launch.program, launch.argv);
  }
  tell(launch, Report::Kind::kFailed, errno);
  ::_exit(127);
}

// The process in between: leads the new session and leaves it at once, so that the program has no parent here and, not
// being the leader, cannot get a terminal.
[[noreturn]] void run_between(const Launch& launch) {
  ::setsid();
  const pid_t pid = ::fork();
  if (pid == 0) run_program(launch);
  tell(launch, pid < 0 ? Report::Kind::kFailed : Report::Kind::kPid, pid < 0 ? errno : static_cast<int>(pid));
  ::_exit(0);
}

// Forks with all signals blocked, so that no handler of ours runs in the new process.
pid_t fork_between(const Launch& launch) {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) run_between(launch);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

std::optional<Report> read_report(int fd) {
  Report report{};
  ssize_t count;
  do {
    count = ::read(fd, &report, sizeof report);
  } while (count < 0 && errno == EINTR);
  if (count != static_cast<ssize_t>(sizeof report)) return std::nullopt;
  return report;
}

void wait_for(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

DetachedProcess::DetachedProcess(pid_t pid) : pid_(pid), pidfd_(open_pidfd(pid)) {}

DetachedProcess::~DetachedProcess() {
  if (pidfd_ >= 0) ::close(pidfd_);
}

// Whoever inherits orphans here may not collect them (process 1 of many containers), and a number lives on in a zombie;
// a pidfd tells the end all the same.
bool DetachedProcess::running() const {
  if (pidfd_ < 0) return ::kill(pid_, 0) == 0 || errno == EPERM;
  pollfd wait{pidfd_, POLLIN, 0};
  return ::poll(&wait, 1, 0) == 0;
}

Result<DetachedProcess> DetachedProcess::start(const DetachedSpec& spec) {
  const std::string program = spec.program.string();
  std::vector<std::string> words{program};
  words.insert(words.end(), spec.arguments.begin(), spec.arguments.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  const Fd null(above_standard(::open("/dev/null", O_RDWR | O_CLOEXEC)));
  if (null.get() < 0) return fail(errno_error(errno, "cannot open /dev/null"));
  const Fd log(above_standard(
      ::open(spec.log_file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR)));
  if (log.get() < 0) return fail(errno_error(errno, fmt::format("cannot open the log {}", spec.log_file.string())));
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return fail(errno_error(errno, "cannot make a pipe"));
  const Fd read_end(above_standard(ends[0]));
  Fd write_end(above_standard(ends[1]));
  for (const Fd* end : {&read_end, static_cast<const Fd*>(&write_end)}) ::fcntl(end->get(), F_SETFD, FD_CLOEXEC);

  const pid_t between = fork_between({program.c_str(), argv.data(), null.get(), log.get(), write_end.get()});
  if (between < 0) return fail(errno_error(errno, fmt::format("cannot start {}", program)));
  write_end.close();
  std::optional<DetachedProcess> process;
  std::optional<int> failure;
  while (const auto report = read_report(read_end.get())) {  // until exec, or the end, closes the pipe
    if (report->kind == Report::Kind::kPid) {
      process.emplace(DetachedProcess(report->value));
    } else {
      failure = report->value;
    }
  }
  wait_for(between);
  if (failure) return fail(errno_error(*failure, fmt::format("cannot start {}", program)));
  if (!process) return fail(ErrorCode::kIo, fmt::format("cannot start {}: it ended before it ran", program));
  return std::move(*process);
}

}  // namespace llm::cli
