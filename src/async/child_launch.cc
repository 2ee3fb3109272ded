#include "async/child_launch.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

namespace llm {
namespace {

// Above the standard three, so that the child's dup2 onto them cannot overwrite one it still needs.
Fd above_standard(Fd fd) {
  if (fd.get() < 0 || fd.get() > STDERR_FILENO) return fd;
  return Fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
}

Result<std::pair<Fd, Fd>> make_pipe() {
  int ends[2];
#ifdef __linux__
  const int made = ::pipe2(ends, O_CLOEXEC);
#else
  const int made = ::pipe(ends);
  if (made == 0) {
    for (const int fd : ends) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
#endif
  if (made != 0) return fail(errno_error(errno, "cannot make a pipe for a child process"));
  Fd read_end(ends[0]), write_end(ends[1]);
  read_end = above_standard(std::move(read_end));
  write_end = above_standard(std::move(write_end));
  if (read_end.get() < 0 || write_end.get() < 0) return fail(errno_error(errno, "cannot make a pipe"));
  return std::pair{std::move(read_end), std::move(write_end)};
}

// What a child has as stdin and stdout, and our ends of it.
struct Streams {
  Fd child_in, child_out;  // no child_out: stdout goes where stderr goes
  Fd ours_in, ours_out;
};

Result<Streams> make_streams(bool piped) {
  if (!piped) {
    Fd null = above_standard(Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
    if (null.get() < 0) return fail(errno_error(errno, "cannot open /dev/null"));
    return Streams{.child_in = std::move(null), .child_out = {}, .ours_in = {}, .ours_out = {}};
  }
  auto to_child = make_pipe();
  if (!to_child) return fail(to_child.error());
  auto from_child = make_pipe();
  if (!from_child) return fail(from_child.error());
  return Streams{.child_in = std::move(to_child->first),
                 .child_out = std::move(from_child->second),
                 .ours_in = std::move(to_child->second),
                 .ours_out = std::move(from_child->first)};
}

// A bare name is looked up as execvp would, but in the child's PATH and before the fork.
std::string find_program(const ChildSpec& spec) {
  const std::string& name = spec.argv.front();
  if (name.contains('/')) return name;
  std::string_view path = "/usr/local/bin:/usr/bin:/bin";
  for (const auto& [key, value] : spec.env) {
    if (key == "PATH") path = value;
  }
  while (!path.empty()) {
    const auto colon = path.find(':');
    const std::string candidate = fmt::format("{}/{}", path.substr(0, colon), name);
    if (candidate.front() == '/' && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    path = colon == std::string_view::npos ? std::string_view{} : path.substr(colon + 1);
  }
  return {};
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  for (auto& string : strings) result.push_back(string.data());
  result.push_back(nullptr);
  return result;
}

enum class Stage : int { kDirectory, kDescriptors, kExec };

struct StartFailure {
  Stage stage;
  int error;
};

// Everything the child needs, prepared before the fork.
struct Launch {
  const char* program;
  char* const* argv;
  char* const* envp;
  const char* directory;  // or nullptr
  int stdin_fd, stdout_fd, stderr_fd, report_fd;
  bool own_process_group;
  pid_t parent;
};

[[noreturn]] void give_up(const Launch& launch, Stage stage) {
  const StartFailure failure{stage, errno};
  [[maybe_unused]] const auto written = ::write(launch.report_fd, &failure, sizeof failure);
  ::_exit(127);
}

// Runs between fork and exec, in a process with one thread whose locks may be held by threads that are gone: only
// async-signal-safe calls (signal-safety(7)), no allocation.
[[noreturn]] void run_child(const Launch& launch) {
  if (launch.own_process_group) ::setpgid(0, 0);
#ifdef __linux__
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  if (::getppid() != launch.parent) ::_exit(127);  // the parent died before the death signal was armed
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &standard, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (launch.directory && ::chdir(launch.directory) != 0) give_up(launch, Stage::kDirectory);
  if (::dup2(launch.stdin_fd, STDIN_FILENO) < 0 || ::dup2(launch.stdout_fd, STDOUT_FILENO) < 0 ||
      ::dup2(launch.stderr_fd, STDERR_FILENO) < 0) {
    give_up(launch, Stage::kDescriptors);
  }
#if defined(__linux__) && defined(SYS_close_range)
  // For descriptors that a library opened without O_CLOEXEC; marks instead of closing, so that the report pipe lives
  // until exec. Missing before Linux 5.11, where all of our own descriptors are close-on-exec anyway.
  ::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
#endif
  ::execve(launch.program, launch.argv, launch.envp);
  give_up(launch, Stage::kExec);
}

Error start_error(const StartFailure& failure, const ChildSpec& spec, std::string_view program) {
  if (failure.stage == Stage::kDirectory) {
    return errno_error(failure.error,
                       fmt::format("cannot start {}: its working directory {}", program, spec.working_directory));
  }
  Error error = errno_error(failure.error, fmt::format("cannot start {}", program));
  switch (failure.error) {
    case ENOENT:
      error.message += ". The file, or the interpreter it names, does not exist; check the path";
      break;
    case EACCES:
      error.message += ". The file must be executable (chmod +x) and on a file system that allows it";
      break;
    case ENOEXEC:
      error.code = ErrorCode::kInvalidArgument;
      error.message += ". The file is not a program for this machine's processor";
      break;
    case E2BIG:
      error.code = ErrorCode::kInvalidArgument;
      error.message += ". Its arguments and environment are too long together";
      break;
    default:
      break;
  }
  return error;
}

// Forks with all signals blocked, so that no handler of the parent runs in the child.
pid_t fork_child(const Launch& launch) {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) run_child(launch);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

// What the child reported; nullopt when exec closed the pipe without a word, which is success.
std::optional<StartFailure> read_report(int fd) {
  StartFailure failure{};
  ssize_t count;
  do {
    count = ::read(fd, &failure, sizeof failure);
  } while (count < 0 && errno == EINTR);
  if (count == static_cast<ssize_t>(sizeof failure)) return failure;
  return std::nullopt;
}

}  // namespace

// waitid that a signal cannot interrupt; true when the child has ended.
bool wait_for_child(pid_t pid, int options, siginfo_t& info) {
  int result;
  do {
    info = {};
    result = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | options);
  } while (result != 0 && errno == EINTR);
  return result != 0 || info.si_pid == pid;  // an error means nobody is left to wait for
}

Result<LaunchedChild> launch_child(const ChildSpec& spec) {
  if (spec.argv.empty() || spec.argv.front().empty()) {
    return fail(ErrorCode::kInvalidArgument, "cannot start a program without a name");
  }
  const std::string program = find_program(spec);
  if (program.empty()) {
    return fail(ErrorCode::kNotFound, fmt::format("cannot start {}: no such program in PATH. Install it or give its "
                                                  "full path",
                                                  spec.argv.front()));
  }
  std::vector<std::string> arguments = spec.argv;
  std::vector<std::string> environment;
  environment.reserve(spec.env.size());
  for (const auto& [name, value] : spec.env) environment.push_back(fmt::format("{}={}", name, value));
  for (const auto* strings : {&arguments, &environment}) {
    for (const auto& string : *strings) {
      if (string.contains('\0')) {
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("cannot start {}: an argument or variable contains a NUL byte", program));
      }
    }
  }
  auto output = make_pipe();
  if (!output) return fail(output.error());
  auto report = make_pipe();
  if (!report) return fail(report.error());
  auto streams = make_streams(spec.piped);
  if (!streams) return fail(streams.error());
  ::fcntl(output->first.get(), F_SETFL, O_NONBLOCK);

  const auto argv = pointers(arguments);
  const auto envp = pointers(environment);
  const Launch launch{.program = program.c_str(),
                      .argv = argv.data(),
                      .envp = envp.data(),
                      .directory = spec.working_directory.empty() ? nullptr : spec.working_directory.c_str(),
                      .stdin_fd = streams->child_in.get(),
                      .stdout_fd = spec.piped ? streams->child_out.get() : output->second.get(),
                      .stderr_fd = output->second.get(),
                      .report_fd = report->second.get(),
                      .own_process_group = spec.own_process_group,
                      .parent = ::getpid()};
  const pid_t pid = fork_child(launch);
  if (pid < 0) {
    return fail(errno_error(errno, fmt::format("cannot start {}: no new process (limits of the user or the container "
                                               "reached?)",
                                               program)));
  }
  report->second.reset();
  if (const auto failure = read_report(report->first.get())) {
    siginfo_t info;
    wait_for_child(pid, 0, info);
    return fail(start_error(*failure, spec, program));
  }
  return LaunchedChild{pid, std::move(output->first), std::move(streams->ours_in), std::move(streams->ours_out)};
}

}  // namespace llm
