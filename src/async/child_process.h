#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "async/task.h"
#include "base/error.h"

namespace llm {

struct ChildSpec {
  // argv[0] is the program: a path, or a bare name that is looked up in the PATH of `env`. There is no shell.
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> env;  // the whole environment; nothing is inherited
  std::string working_directory;                         // empty: the parent's
  bool own_process_group = true;  // signals then reach the child's own children too, and Ctrl-C at a terminal does not
  bool piped = false;             // stdin and stdout are pipes of the owner, see take_pipes(); lines come from stderr
};

// Our ends of a child's stdin and stdout.
struct ChildPipes {
  int input = -1;   // written to
  int output = -1;  // read from
};

struct ExitStatus {
  enum class Kind { kExited, kSignalled, kUnknown };  // kUnknown: somebody else reaped it (SIGCHLD ignored)
  Kind kind = Kind::kUnknown;
  int code = 0;  // kExited: the exit code; kSignalled: the signal's number

  bool success() const { return kind == Kind::kExited && code == 0; }
  std::string text() const;  // "exited with code 3", "was ended by signal 9 (KILL)"
  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

// A program that runs beside this one: stdin is /dev/null, stdout and stderr come back together line by line (unless
// it is piped), its end is watched, and it does not outlive this process (Linux: PR_SET_PDEATHSIG; the child's own
// children are not covered by that, only by terminate(), kill() and the destructor). No descriptor of this process is
// inherited.
//
// Lives on one loop: every member, and both callbacks, on the loop's thread. A callback may destroy the object.
class ChildProcess {
 public:
  static constexpr std::size_t kMaxLine = 8192;  // bytes; the rest of a longer line is dropped

  // Without its end, which is a line feed, a carriage return (progress bars) or both; valid during the call.
  using OnLine = std::function<void(std::string_view line)>;
  using OnExit = std::function<void(ExitStatus status)>;

  // Starts the program and returns once it runs (exec succeeded), so it blocks for the time of a fork, about a
  // millisecond. `on_exit` is called exactly once, after the last line, unless the object is destroyed before; neither
  // is called inside start(). Errors: kNotFound, kPermissionDenied, kInvalidArgument, kIo, with the path and the way
  // out.
  //
  // Call it on a thread that lives as long as the program should: Linux ties the death signal to the thread that
  // forked, not to the process, so a short-lived caller would take the child along when it ends. A loop's thread fits.
  static Result<std::unique_ptr<ChildProcess>> start(const Executor& executor, const ChildSpec& spec,
                                                     OnLine on_output_line, OnExit on_exit);

  // Kills the group and waits for the kernel to end the child: milliseconds, longer for a child with gigabytes mapped.
  // The polite way is terminate(), then on_exit, then destruction.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // With ChildSpec::piped: the caller's from now on, to be closed by it. Once; -1 after that or without pipes.
  ChildPipes take_pipes();

  void terminate();      // SIGTERM to the group; nothing once the child has ended
  void kill();           // SIGKILL to the group
  pid_t pid() const;     // stays the same after the end, when the kernel may have given it to somebody else
  bool running() const;  // false from the moment the end was noticed, before on_exit

 private:
  struct State;
  explicit ChildProcess(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;  // shared with the handlers that wait on the loop; they end soon after the object
};

}  // namespace llm
