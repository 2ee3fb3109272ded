#include "engines/vllm/process_launcher.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <sched.h>
#include <stdlib.h>

#include "async/event.h"
#include "async/run_task.h"

namespace llm::engines {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

bool alive(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(stat, text)) return false;
  const auto state = text.substr(text.rfind(')') + 2, 1);
  return state != "Z" && state != "X";
}

// Real processes: shell scripts in the place of `vllm`.
class ProcessLauncherTest : public ::testing::Test {
 protected:
  ProcessLauncherTest() {
    std::string pattern = (fs::temp_directory_path() / "launcherXXXXXX").string();
    folder = mkdtemp(pattern.data());
  }
  ~ProcessLauncherTest() override {
    launcher.reset();
    fs::remove_all(folder);
  }

  std::string script(const std::string& name, const std::string& text) {
    const fs::path path = folder / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << "#!/bin/sh\n" << text << "\n";
    fs::permissions(path, fs::perms::owner_all);
    return path.string();
  }

  LaunchPlan plan(const std::string& program) {
    LaunchPlan out;
    out.engine = "big";
    out.argv = {program, "serve", "two words", "$HOME"};
    out.environment = {{"VLLM_API_KEY", "k"}};
    out.api_key = "k";
    out.stop_timeout = std::chrono::minutes(1);
    return out;
  }

  Result<Launcher::Launched> launch(LaunchPlan plan) {
    launcher = make_process_launcher(loop, [](const std::string& name) -> std::optional<std::string> {
      if (name == "PATH") return "/usr/local/bin:/usr/bin:/bin";
      if (name == "HOME") return "/nowhere";
      return std::nullopt;
    });
    Result<Launcher::Launched> out;
    run_task(loop, launch_into(out, std::move(plan)));
    return out;
  }
  Task<void> launch_into(Result<Launcher::Launched>& out, LaunchPlan plan) {
    Launcher::Events events{.on_line =
                                [this](std::string_view line) {
                                  lines.emplace_back(line);
                                  changed.notify();
                                },
                            .on_progress = {},
                            .on_exit =
                                [this](LaunchExit end) {
                                  exit = end;
                                  changed.notify();
                                }};
    out = co_await launcher->launch(std::move(plan), std::move(events), {});
  }
  // Until a line begins like that; the line.
  std::string await_line(std::string_view begin) {
    run_task(loop, await_line_task(begin));
    return *std::ranges::find_if(lines, [begin](const auto& line) { return line.starts_with(begin); });
  }
  Task<void> await_line_task(std::string_view begin) {
    while (std::ranges::none_of(lines, [begin](const auto& line) { return line.starts_with(begin); })) {
      co_await changed.wait();
    }
  }
  Task<void> await_exit() {
    while (!exit) co_await changed.wait();
  }

  Loop loop{"test"};
  Event changed{loop.executor()};
  fs::path folder;
  std::unique_ptr<Launcher> launcher;
  std::vector<std::string> lines;
  std::optional<LaunchExit> exit;
};

TEST_F(ProcessLauncherTest, GivesArgumentsPortAndACleanEnvironment) {
  const auto launched = launch(plan(script("vllm", R"(printf 'arg=%s\n' "$@"; env >&2; exit 3)")));
  ASSERT_TRUE(launched) << launched.error().message;
  run_task(loop, await_exit());
  EXPECT_EQ(exit->status, 3);
  EXPECT_EQ(launched->endpoint.host, "127.0.0.1");
  EXPECT_GT(launched->endpoint.port, 0);
  EXPECT_EQ(launched->api_key, "k");
  EXPECT_THAT(lines, Contains("arg=two words"));
  EXPECT_THAT(lines, Contains("arg=$HOME")) << "no shell reads them";
  EXPECT_THAT(lines, Contains("arg=--port"));
  EXPECT_THAT(lines, Contains("arg=" + std::to_string(launched->endpoint.port)));
  EXPECT_THAT(lines, Contains("VLLM_API_KEY=k"));
  EXPECT_THAT(lines, Contains("HOME=/nowhere"));
  run_task(loop, launcher->stop(Launcher::Ending::kDrain));
}

TEST_F(ProcessLauncherTest, TheEngineAloneIsAskedToEnd) {
  const auto launched = launch(plan(script("vllm", R"(
sh -c 'trap "echo worker was asked" TERM; echo worker=$$; while :; do sleep 0.01; done' &
trap 'echo asked; exit 0' TERM
echo ready
while :; do sleep 0.01; done)")));
  ASSERT_TRUE(launched);
  const pid_t worker = std::stoi(await_line("worker=").substr(7));
  await_line("ready");
  EXPECT_GT(launcher->memory_bytes(), 0U);
  run_task(loop, launcher->stop(Launcher::Ending::kDrain));
  EXPECT_THAT(lines, Not(Contains("worker was asked")));
  while (alive(worker)) ::sched_yield();  // its parent has gone, so it had to
  EXPECT_FALSE(alive(launched->pid));
  EXPECT_EQ(launcher->memory_bytes(), 0U);
}

TEST_F(ProcessLauncherTest, WhatDoesNotEndIsKilled) {
  auto stubborn = plan(script("vllm", "trap '' TERM; echo ready; while :; do sleep 0.01; done"));
  stubborn.stop_timeout = std::chrono::milliseconds(20);
  const auto launched = launch(stubborn);
  ASSERT_TRUE(launched);
  await_line("ready");
  run_task(loop, launcher->stop(Launcher::Ending::kDrain));
  EXPECT_FALSE(alive(launched->pid));
}

TEST_F(ProcessLauncherTest, ACrashIsTold) {
  const auto launched = launch(plan(script("vllm", "kill -9 $$")));
  ASSERT_TRUE(launched);
  run_task(loop, await_exit());
  EXPECT_EQ(exit->status, std::nullopt);
  EXPECT_EQ(exit->signal, SIGKILL);
  run_task(loop, launcher->stop(Launcher::Ending::kDrain));
}

TEST_F(ProcessLauncherTest, AMissingProgramIsNamed) {
  const auto launched = launch(plan("/nowhere/bin/vllm"));
  ASSERT_FALSE(launched);
  EXPECT_EQ(launched.error().code, ErrorCode::kEngineFailed);
  EXPECT_THAT(launched.error().message, HasSubstr("/nowhere/bin/vllm"));
  EXPECT_THAT(launched.error().message, HasSubstr("process.python"));
}

TEST_F(ProcessLauncherTest, APortThatIsTakenIsSaidBeforeTheStart) {
  const int fd = net::listen_tcp("127.0.0.1", 0).value();
  auto wanted = plan(script("vllm", "echo started"));
  wanted.port = net::local_port(fd);
  const auto launched = launch(wanted);
  ::close(fd);
  ASSERT_FALSE(launched);
  EXPECT_THAT(launched.error().message, HasSubstr("is in use"));
}

Task<void> version_into(Loop& loop, std::string program, std::string& out) {
  out = co_await installed_vllm_version(loop, std::move(program), {{"PATH", "/usr/bin:/bin"}}, std::chrono::minutes(1),
                                        {});
}

TEST_F(ProcessLauncherTest, VersionsComeFromMetadataOrTheProgram) {
  std::string version;
  const auto program = script("env/bin/vllm", "echo INFO something; echo 0.33.0; echo 'not a version'");
  run_task(loop, version_into(loop, program, version));
  EXPECT_EQ(version, "0.33.0");
  fs::create_directories(folder / "env/lib/python3.12/site-packages/vllm-0.10.1.1.dist-info");
  run_task(loop, version_into(loop, program, version));
  EXPECT_EQ(version, "0.10.1.1");
  run_task(loop, version_into(loop, "/nowhere/vllm", version));
  EXPECT_EQ(version, "");
}

TEST(ProcessEnvironment, IsWhatProgramsNeedAndWhatTheEngineSets) {
  const auto lookup = [](const std::string& name) -> std::optional<std::string> { return "our " + name; };
  const auto environment = process_environment_for(lookup, {{"HOME", "/own"}, {"HF_TOKEN", "t"}});
  EXPECT_THAT(environment, Contains(Pair("HOME", "/own")));
  EXPECT_THAT(environment, Contains(Pair("HF_TOKEN", "t")));
  EXPECT_THAT(environment, Contains(Pair("PATH", "our PATH")));
  for (const auto& [name, value] : environment) EXPECT_THAT(name, Not(StartsWith("LLM_MCP")));
}

}  // namespace
}  // namespace llm::engines
