#pragma once

#include <filesystem>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "base/error.h"

namespace llm::cli {

struct DetachedSpec {
  std::filesystem::path program;
  std::vector<std::string> arguments;  // without the program's name
  std::filesystem::path log_file;      // standard error is appended to it; made if missing, for this user alone
};

// A program that was started to outlive this process: in a session of its own, no child of ours, with none of our
// descriptors and no terminal. Environment and working directory are ours. The opposite of ChildProcess.
class DetachedProcess {
 public:
  // Returns once the program runs. Blocks for the time of two forks. Errors name the program or the log file.
  static Result<DetachedProcess> start(const DetachedSpec& spec);

  DetachedProcess(DetachedProcess&& other) noexcept : pid_(other.pid_), pidfd_(std::exchange(other.pidfd_, -1)) {}
  DetachedProcess& operator=(DetachedProcess&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(pidfd_, other.pidfd_);
    return *this;
  }
  ~DetachedProcess();  // forgets the process, does nothing to it

  pid_t pid() const { return pid_; }
  bool running() const;

 private:
  explicit DetachedProcess(pid_t pid);

  pid_t pid_;
  int pidfd_;  // -1 where the system has none; then the number alone tells
};

}  // namespace llm::cli
