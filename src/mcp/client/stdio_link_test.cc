#include "mcp/client/stdio_link.h"

#include <fmt/format.h>
#include <fstream>
#include <optional>

#include "mcp/client/client_under_test.h"

namespace llm::mcp {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

// A real program (a shell script) at the other end of the link.
struct ProgramTest : testing::Test, Link::Listener {
  ProgramTest() : closed(loop.executor()), heard(loop.executor()) { std::signal(SIGPIPE, SIG_IGN); }

  void on_message(std::string_view text, const RequestId*) override {
    messages.emplace_back(text);
    heard.notify();
  }
  void on_overlong(std::size_t) override { ++overlong; }
  void on_lost(const RequestId&, Error) override { ++lost; }
  void on_closed(Error error) override {
    why = error.message;
    closed.notify();
  }

  void run(std::string script, std::vector<std::pair<std::string, std::string>> env = {}) {
    link = std::make_unique<StdioLink>(loop,
                                       ProgramSettings{.label = "the program",
                                                       .argv = {"/bin/sh", "-c", std::move(script)},
                                                       .env = std::move(env),
                                                       .stop_patience = 1ms},
                                       log.log());
    const auto started = link->start(*this);
    ASSERT_TRUE(started) << started.error().message;
  }
  void until_closed() {
    run_task(loop, [](ProgramTest* t) -> Task<void> {
      while (t->why.empty()) co_await t->closed.wait();
    }(this));
  }
  void until_heard(std::size_t count) {
    run_task(loop, [](ProgramTest* t, std::size_t wanted) -> Task<void> {
      while (t->messages.size() < wanted) co_await t->heard.wait();
    }(this, count));
  }
  void stop() { run_task(loop, link->stop()); }

  Loop loop{"test"};
  observe::LogCapture log;
  std::unique_ptr<StdioLink> link;
  std::vector<std::string> messages;
  std::string why;
  int overlong = 0;
  int lost = 0;
  Event closed;
  Event heard;
};

TEST_F(ProgramTest, LinesGoBothWaysAndStderrIntoTheLog) {
  run("echo hello >&2; read line; echo \"got $line\"; read line; echo \"then $line\"");
  link->send({.text = "one"});
  link->send({.text = "two"});
  until_closed();
  EXPECT_THAT(messages, testing::ElementsAre("got one", "then two"));
  EXPECT_EQ(why, "the program exited with code 0");
  EXPECT_TRUE(log.contains("hello"));
  stop();
}

TEST_F(ProgramTest, SaysHowItEnded) {
  run("exit 3");
  until_closed();
  EXPECT_EQ(why, "the program exited with code 3");
  stop();
}

TEST_F(ProgramTest, GetsTheEnvironmentItIsGivenAndNoMore) {
  ::setenv("LLM_TEST_SECRET", "s3cret", 1);
  run("echo \"a=$A secret=$LLM_TEST_SECRET\"", {{"A", "1"}});
  until_closed();
  EXPECT_THAT(messages, testing::ElementsAre("a=1 secret="));
  stop();
}

TEST_F(ProgramTest, WhatItWritesToStderrIsBounded) {
  run("i=0; while [ $i -lt 1000 ]; do echo \"noise $i\" >&2; i=$((i+1)); done");
  until_closed();
  EXPECT_LE(log.lines().size(), 102U);
  EXPECT_GE(log.lines().size(), 50U);
  stop();
}

bool ended(pid_t pid) {
  std::ifstream stat(fmt::format("/proc/{}/stat", pid));
  std::string text;
  if (!std::getline(stat, text)) return true;
  const char state = text[text.rfind(')') + 2];
  return state == 'Z' || state == 'X';
}

TEST_F(ProgramTest, StopEndsAProgramThatWillNotGoAndWhatItStarted) {
  run("trap '' TERM; (trap '' TERM; echo $(exec sh -c 'echo $PPID'); while :; do sleep 100; done) & "
      "echo $$; while :; do sleep 100; done");
  until_heard(2);
  stop();
  for (const auto& line : messages) {
    const auto pid = static_cast<pid_t>(std::stol(line));
    while (!ended(pid)) ::sched_yield();  // killed: the kernel takes its time, not more
  }
}

TEST_F(ProgramTest, StopLetsAPoliteProgramFinish) {
  char path[] = "/tmp/stdio_link_testXXXXXX";
  const int fd = ::mkstemp(path);
  link = std::make_unique<StdioLink>(
      loop,
      ProgramSettings{.label = "the program",
                      .argv = {"/bin/sh", "-c", fmt::format("echo up; cat >/dev/null; echo bye > {}", path)},
                      .env = {{"PATH", "/usr/bin:/bin"}},
                      .stop_patience = std::chrono::minutes(1)},
      log.log());
  ASSERT_TRUE(link->start(*this));
  until_heard(1);
  stop();
  std::ifstream file(path);
  std::string said;
  std::getline(file, said);
  EXPECT_EQ(said, "bye");
  ::close(fd);
  ::unlink(path);
}

TEST_F(ProgramTest, AProgramThatIsNotThereIsAnError) {
  link = std::make_unique<StdioLink>(loop, ProgramSettings{.label = "x", .argv = {"/nowhere/server"}}, log.log());
  const auto started = link->start(*this);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::kNotFound);
  stop();
}

}  // namespace
}  // namespace llm::mcp
