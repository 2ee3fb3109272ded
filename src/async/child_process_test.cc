#include "async/child_process.h"

#include <charconv>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>
#include <sys/wait.h>
#include <unistd.h>

#include "async/loop.h"

namespace llm {
namespace {

using Lines = std::vector<std::string>;
using testing::ElementsAre;
using testing::HasSubstr;

// Runs one child on a loop in the test's own thread and keeps what it said. `on_line` may steer it meanwhile.
struct Runner {
  Loop loop{"test"};
  Lines lines;
  std::optional<ExitStatus> status;
  std::unique_ptr<ChildProcess> child;
  std::function<void(std::string_view)> on_line;

  std::optional<Error> start(ChildSpec spec) {
    auto started = ChildProcess::start(
        loop.executor(), std::move(spec),
        [this](std::string_view line) {
          lines.emplace_back(line);
          if (on_line) on_line(line);
        },
        [this](ExitStatus exit) {
          EXPECT_FALSE(status) << "on_exit must come once";
          EXPECT_FALSE(child && child->running());
          status = exit;
          loop.stop();
        });
    if (!started) return started.error();
    child = std::move(*started);
    return std::nullopt;
  }
  ExitStatus finish(ChildSpec spec) {
    if (const auto error = start(std::move(spec))) {
      ADD_FAILURE() << error->message;
      return {};
    }
    loop.run();
    return *status;
  }
};

ChildSpec shell(std::string script) {
  return {.argv = {"/bin/sh", "-c", std::move(script)}, .env = {}, .working_directory = {}};
}

ExitStatus exited(int code) {
  return {ExitStatus::Kind::kExited, code};
}
ExitStatus signalled(int signal) {
  return {ExitStatus::Kind::kSignalled, signal};
}

pid_t to_pid(std::string_view text) {
  pid_t pid = -1;
  std::from_chars(text.data(), text.data() + text.size(), pid);
  return pid;
}

// Has the process ended? A zombie that waits for its (new) parent counts as ended.
bool ended(pid_t pid) {
  std::ifstream stat(fmt::format("/proc/{}/stat", pid));
  std::string text;
  if (!std::getline(stat, text)) return true;
  const auto state = text.substr(text.rfind(')') + 2, 1);
  return state == "Z" || state == "X";
}

// Blocks until a process that has been killed is gone; the test's own time-out is the limit.
void await_end(pid_t pid) {
  while (!ended(pid)) ::sched_yield();
}

std::size_t open_descriptors() {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

TEST(ChildProcess, DeliversBothStreamsLineByLineAndThePartialLastLine) {
  Runner run;
  EXPECT_EQ(run.finish(shell("echo one; echo two >&2; printf 'three\\r\\n\\nfour'")), exited(0));
  EXPECT_THAT(run.lines, ElementsAre("one", "two", "three", "", "four"));
  EXPECT_TRUE(run.status->success());
}

TEST(ChildProcess, ProgressBarsAreLinesToo) {
  Runner run;
  EXPECT_EQ(run.finish(shell("printf '\\r 0%%\\r 50%%'; printf '\\r100%%\\r'; printf '\\n\\r\\nend\\r'")), exited(0));
  EXPECT_THAT(run.lines, ElementsAre(" 0%", " 50%", "100%", "", "end"));
}

TEST(ChildProcess, ReportsExitCodes) {
  for (const int code : {1, 3, 255}) {
    Runner run;
    EXPECT_EQ(run.finish(shell(fmt::format("exit {}", code))), exited(code));
    EXPECT_FALSE(run.status->success());
    EXPECT_EQ(run.status->text(), fmt::format("exited with code {}", code));
  }
}

TEST(ChildProcess, ReportsSignals) {
  Runner run;
  EXPECT_EQ(run.finish(shell("kill -SEGV $$")), signalled(SIGSEGV));
  EXPECT_EQ(run.status->text(), "was ended by signal 11 (SEGV)");
}

TEST(ChildProcess, TerminateAndKillReachTheChild) {
  Runner polite;
  polite.on_line = [&](std::string_view line) {
    if (line == "ready") polite.child->terminate();
  };
  EXPECT_EQ(polite.finish(shell("trap 'echo bye; exit 7' TERM; echo ready; while :; do :; done")), exited(7));
  EXPECT_THAT(polite.lines, ElementsAre("ready", "bye"));

  Runner stubborn;
  stubborn.on_line = [&](std::string_view) { stubborn.child->kill(); };
  EXPECT_EQ(stubborn.finish(shell("trap '' TERM; echo ready; exec sleep 1000")), signalled(SIGKILL));
}

TEST(ChildProcess, SignalsAfterTheEndDoNothing) {
  Runner run;
  EXPECT_EQ(run.finish(shell("exit 0")), exited(0));
  run.child->terminate();
  run.child->kill();
  EXPECT_FALSE(run.child->running());
}

TEST(ChildProcess, SaysWhyAProgramDoesNotStart) {
  Runner run;
  auto error = run.start({.argv = {"/nowhere/engine"}, .env = {}, .working_directory = {}});
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kNotFound);
  EXPECT_THAT(error->message, HasSubstr("cannot start /nowhere/engine: No such file or directory"));
  EXPECT_THAT(error->message, HasSubstr("check the path"));

  error = run.start({.argv = {"/etc/passwd"}, .env = {}, .working_directory = {}});
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(error->message, HasSubstr("chmod +x"));

  error = run.start({.argv = {"/bin/sh"}, .env = {}, .working_directory = "/nowhere"});
  ASSERT_TRUE(error);
  EXPECT_THAT(error->message, HasSubstr("working directory /nowhere"));

  error = run.start({.argv = {"no-such-program-here"}, .env = {{"PATH", "/usr/bin:/bin"}}, .working_directory = {}});
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kNotFound);
  EXPECT_THAT(error->message, HasSubstr("no such program in PATH"));

  error = run.start({.argv = {}, .env = {}, .working_directory = {}});
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kInvalidArgument);

  error = run.start({.argv = {"/bin/echo", std::string("a\0b", 3)}, .env = {}, .working_directory = {}});
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kInvalidArgument);
}

TEST(ChildProcess, LeavesNoZombieAfterAFailedStart) {
  Runner run;
  ASSERT_TRUE(run.start({.argv = {"/nowhere/engine"}, .env = {}, .working_directory = {}}));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(ChildProcess, GivesExactlyTheEnvironmentAndDirectoryAsked) {
  Runner run;
  ChildSpec spec{.argv = {"env"}, .env = {{"PATH", "/usr/bin:/bin"}, {"A", "b=c d"}}, .working_directory = {}};
  EXPECT_EQ(run.finish(spec), exited(0));
  EXPECT_THAT(run.lines, ElementsAre("PATH=/usr/bin:/bin", "A=b=c d"));

  Runner directory;
  EXPECT_EQ(directory.finish({.argv = {"/bin/pwd"}, .env = {}, .working_directory = "/usr"}), exited(0));
  EXPECT_THAT(directory.lines, ElementsAre("/usr"));
}

TEST(ChildProcess, InheritsNothingButAnEmptyStdin) {
  // One descriptor that is not close-on-exec, a blocked and an ignored signal: none may reach the child.
  const int leaky = ::open("/dev/null", O_RDONLY);
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  sigset_t block, old;
  ::sigemptyset(&block);
  ::sigaddset(&block, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &block, &old);
  Runner run;
  // Counted without another process: the shell's pipe to that would count or not.
  EXPECT_EQ(run.finish(shell("cat; n=0; for fd in /proc/$$/fd/*; do [ -e $fd ] && n=$((n+1)); done; echo $n; "
                             "exec grep -E 'Sig(Blk|Ign)' /proc/self/status")),
            exited(0));
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
  ::signal(SIGPIPE, before);
  ::close(leaky);
  EXPECT_THAT(run.lines, ElementsAre("3", "SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"));
}

TEST(ChildProcess, CutsLongLinesAndKeepsTheNextOne) {
  for (const std::size_t length : {ChildProcess::kMaxLine, ChildProcess::kMaxLine + 1, 10 * ChildProcess::kMaxLine}) {
    Runner run;
    EXPECT_EQ(run.finish(shell(fmt::format("head -c {} /dev/zero | tr '\\0' x; echo; echo next", length))), exited(0));
    EXPECT_THAT(run.lines, ElementsAre(std::string(ChildProcess::kMaxLine, 'x'), "next"));
  }
}

TEST(ChildProcess, DeliversHugeOutputCompletely) {
  Runner run;
  EXPECT_EQ(run.finish(shell("seq 1 200000")), exited(0));
  ASSERT_EQ(run.lines.size(), 200000u);
  EXPECT_EQ(run.lines.back(), "200000");
}

TEST(ChildProcess, DestructionKillsAndReapsTheWholeGroup) {
  Runner run;
  run.on_line = [&](std::string_view) { run.loop.stop(); };
  ASSERT_FALSE(run.start(shell("sleep 1000 & echo $!; wait")));
  const pid_t pid = run.child->pid();
  run.loop.run();
  const pid_t grandchild = to_pid(run.lines.at(0));
  ASSERT_GT(grandchild, 0);
  EXPECT_FALSE(ended(grandchild));
  run.child.reset();
  EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
  await_end(grandchild);
  EXPECT_FALSE(run.status);
}

TEST(ChildProcess, GrandchildrenDoNotOutliveTheChildNorDelayItsExit) {
  Runner run;
  EXPECT_EQ(run.finish(shell("sleep 1000 & echo $!")), exited(0));
  await_end(to_pid(run.lines.at(0)));
}

TEST(ChildProcess, AStrangerWhoKeepsTheOutputDoesNotDelayTheExit) {
  std::string directory = "/tmp/child_process_test.XXXXXX";
  ASSERT_TRUE(::mkdtemp(directory.data()));
  Runner run;
  // The leader ends once the stranger has left its group.
  EXPECT_EQ(run.finish(shell(fmt::format("setsid sh -c 'echo $$; : >{0}/left; exec sleep 1000' & "
                                         "while [ ! -e {0}/left ]; do :; done",
                                         directory))),
            exited(0));
  std::filesystem::remove_all(directory);
  ASSERT_EQ(run.lines.size(), 1u);
  const pid_t stranger = to_pid(run.lines.front());
  ASSERT_GT(stranger, 0);
  EXPECT_FALSE(ended(stranger));
  ::kill(stranger, SIGKILL);
}

TEST(ChildProcess, MayBeDestroyedInsideACallback) {
  Runner in_line;
  in_line.on_line = [&](std::string_view) {
    in_line.child.reset();
    in_line.loop.stop();
  };
  ASSERT_FALSE(in_line.start(shell("echo a; echo b; exec sleep 1000")));
  in_line.loop.run();
  EXPECT_THAT(in_line.lines, ElementsAre("a"));
  EXPECT_FALSE(in_line.status);

  Loop loop("test");
  std::unique_ptr<ChildProcess> child;
  auto started = ChildProcess::start(loop.executor(), shell("exit 4"), nullptr, [&](ExitStatus status) {
    EXPECT_EQ(status, exited(4));
    child.reset();
    loop.stop();
  });
  ASSERT_TRUE(started);
  child = std::move(*started);
  loop.run();
  EXPECT_FALSE(child);
}

TEST(ChildProcess, WithoutAGroupOfItsOwnItStaysInOurs) {
  Runner run;
  auto spec = shell("cut -d' ' -f5 /proc/$$/stat");
  spec.own_process_group = false;
  EXPECT_EQ(run.finish(spec), exited(0));
  EXPECT_THAT(run.lines, ElementsAre(std::to_string(::getpgrp())));
}

TEST(ChildProcess, LeaksNoDescriptors) {
  {
    Runner first;  // whatever is opened once
    first.finish(shell("exit 0"));
  }
  const auto before = open_descriptors();
  for (int i = 0; i < 20; ++i) {
    Runner run;
    run.finish(shell("echo hello"));
    Runner failed;
    EXPECT_TRUE(failed.start({.argv = {"/nowhere/engine"}, .env = {}, .working_directory = {}}));
    Runner destroyed;
    EXPECT_FALSE(destroyed.start(shell("exec sleep 1000")));
  }
  EXPECT_EQ(open_descriptors(), before);
}

#ifdef __linux__
// Not a test of its own: the next one starts this program again with a filter for it and kills it.
TEST(ChildProcessDeathHelper, DISABLED_StartsASleeperAndWaits) {
  Runner run;
  ASSERT_FALSE(run.start({.argv = {"/bin/sleep", "1000"}, .env = {}, .working_directory = {}}));
  fmt::print("sleeper {}\n", run.child->pid());
  std::fflush(stdout);
  run.loop.run();
}

TEST(ChildProcess, DiesWithItsParent) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  ChildSpec spec{.argv = {self, "--gtest_filter=ChildProcessDeathHelper.*", "--gtest_also_run_disabled_tests"},
                 .env = {},
                 .working_directory = {}};
  spec.own_process_group = true;
  Runner parent;
  pid_t sleeper = -1;
  parent.on_line = [&](std::string_view line) {
    if (!line.starts_with("sleeper ")) return;
    sleeper = to_pid(line.substr(8));
    EXPECT_FALSE(ended(sleeper));
    ::kill(parent.child->pid(), SIGKILL);  // only the parent; the sleeper leads a group of its own
  };
  EXPECT_EQ(parent.finish(spec), signalled(SIGKILL));
  ASSERT_GT(sleeper, 0);
  await_end(sleeper);
}
#endif

}  // namespace
}  // namespace llm
