#pragma once

// A gateway for the tests of attaching: the test program itself, started again with a filter that picks one disabled
// test (fake_gateway_test.cc), which serves a Unix socket instead of testing anything. The environment tells it how.

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "cli/attach.h"

namespace llm::cli {

inline constexpr const char* kFakeSocket = "LLM_MCP_TEST_SOCKET";
inline constexpr const char* kFakeStarts = "LLM_MCP_TEST_STARTS";  // a file: each start adds a line with its pid
inline constexpr const char* kFakeMode = "LLM_MCP_TEST_MODE";      // serve, die (while starting), hang

// A directory for one test, with the settings that start the fake gateway there. Whatever was started is gone after it.
class FakeGateways {
 public:
  FakeGateways() {
    std::string name = testing::TempDir() + "/llm-attach-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    settings_.runtime_dir = directory_;
    settings_.log_file = directory_ / "logs" / "gateway.log";
    settings_.program = "/proc/self/exe";
    settings_.program = std::filesystem::read_symlink(settings_.program);
    settings_.arguments = {"--gtest_filter=FakeGateway.DISABLED_Serves", "--gtest_also_run_disabled_tests",
                           "--gtest_brief=1"};
    ::setenv(kFakeSocket, settings_.endpoint().unix_path.c_str(), 1);
    ::setenv(kFakeStarts, (directory_ / "starts").c_str(), 1);
    mode("serve");
  }
  FakeGateways(const FakeGateways&) = delete;
  FakeGateways& operator=(const FakeGateways&) = delete;
  ~FakeGateways() {
    for (const pid_t pid : starts()) ::kill(pid, SIGKILL);
    std::filesystem::remove_all(directory_);
  }

  void mode(const char* mode) { ::setenv(kFakeMode, mode, 1); }
  AttachSettings& settings() { return settings_; }
  std::vector<pid_t> starts() const {
    std::ifstream in(directory_ / "starts");
    std::vector<pid_t> pids;
    for (pid_t pid = 0; in >> pid;) pids.push_back(pid);
    return pids;
  }

 private:
  std::filesystem::path directory_;
  AttachSettings settings_;
};

}  // namespace llm::cli
