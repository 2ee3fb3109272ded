#include "engines/vllm/process_launcher.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <unistd.h>

#include "async/child_process.h"
#include "async/event.h"
#include "base/strings.h"
#include "engines/oom_kills.h"

namespace llm::engines {
namespace {

namespace fs = std::filesystem;

// What a program needs to find its files, its libraries and the machine's GPUs.
constexpr std::array<const char*, 12> kPassed{
    "PATH",      "HOME",          "USER",         "LOGNAME",         "TMPDIR",         "HF_HOME",
    "CUDA_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME", "CUDA_VISIBLE_DEVICES"};

// Stands beside the engine in its group and reads a pipe that only the gateway can write to. When that ends, so does
// the group. The engine itself replaces the shell: its process is the one that we started.
constexpr const char* kGuarded =
    "exec 3<&0\n"
    "{ trap '' TERM INT HUP; exec </dev/null >/dev/null 2>&1; read -r _ <&3; kill -KILL 0; } &\n"
    "exec \"$@\" 3<&- </dev/null >&2\n";

// Where a bare name is found in the child's PATH; a path stays. Empty: nowhere.
std::string find_program(const std::string& name, const std::vector<std::pair<std::string, std::string>>& environment) {
  if (name.contains('/')) return ::access(name.c_str(), X_OK) == 0 && !fs::is_directory(name) ? name : std::string();
  for (const auto& [key, value] : environment) {
    if (key != "PATH") continue;
    for (const auto folder : split(value, ':')) {
      const std::string candidate = fmt::format("{}/{}", folder, name);
      if (folder.starts_with('/') && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    }
  }
  return {};
}

Error no_program(const std::string& name) {
  // Not kNotFound: a missing program is no missing model to whoever asked for a completion.
  return {ErrorCode::kEngineFailed,
          fmt::format("there is no program \"{}\" to run vLLM with; set the engine's process.python to the Python "
                      "environment that vLLM is installed in, or process.program to its `vllm`",
                      name),
          {},
          {},
          0};
}

// Anonymous and shared memory of every process of the group; pages of files (the weights, mapped) belong to nobody.
std::uint64_t group_memory(pid_t group) {
  std::uint64_t bytes = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (name.empty() || name.front() < '0' || name.front() > '9') continue;
    std::ifstream stat(entry.path() / "stat");
    std::string text;
    if (!std::getline(stat, text)) continue;
    // pid (name) state parent group …; the name may hold anything.
    const auto fields = split(std::string_view(text).substr(std::min(text.size(), text.rfind(')') + 2)), ' ');
    if (fields.size() < 3 || parse_number<pid_t>(fields[2]) != group) continue;
    std::ifstream status(entry.path() / "status");
    for (std::string line; std::getline(status, line);) {
      if (!line.starts_with("RssAnon:") && !line.starts_with("RssShmem:")) continue;
      const auto begin = line.find_first_of("0123456789");
      if (begin == std::string::npos) continue;
      bytes += parse_number<std::uint64_t>(line.substr(begin, line.find(' ', begin) - begin)).value_or(0) * 1024;
    }
  }
  return bytes;
}

class ProcessLauncher final : public Launcher {
 public:
  ProcessLauncher(Loop& control, EnvLookup environment)
      : control_(control), gateway_(std::move(environment)), ended_(control.executor()) {}
  ~ProcessLauncher() override { release(); }

  Task<Result<Launched>> launch(LaunchPlan plan, Events events, CancelToken cancel) override {
    if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "the load was cancelled");
    events_ = std::move(events);
    stop_timeout_ = plan.stop_timeout;
    auto port = choose_port(plan);
    if (!port) co_return fail(std::move(port.error()));
    auto environment = process_environment_for(gateway_, plan.environment);
    const std::string program = find_program(plan.argv.front(), environment);
    if (program.empty()) co_return fail(no_program(plan.argv.front()));
    plan.argv.front() = program;
    std::vector<std::string> argv{"/bin/sh", "-c", kGuarded, "vllm"};
    argv.insert(argv.end(), plan.argv.begin(), plan.argv.end());
    if (plan.port == 0) argv.insert(argv.end(), {"--port", std::to_string(*port)});
    oom_before_ = oom_kills();
    auto child = ChildProcess::start(
        control_.executor(),
        ChildSpec{.argv = std::move(argv), .env = std::move(environment), .working_directory = "/", .piped = true},
        [this](std::string_view line) {
          if (events_.on_line) events_.on_line(line);
        },
        [this](ExitStatus status) { on_end(status); });
    if (!child) {
      co_return fail(ErrorCode::kEngineFailed,
                     fmt::format("the engine \"{}\" cannot be started: {}", plan.engine, child.error().message));
    }
    child_ = std::move(*child);
    const ChildPipes pipes = child_->take_pipes();
    leash_ = pipes.input;
    ::close(pipes.output);
    Launched out;
    out.endpoint = {.host = "127.0.0.1", .port = *port};
    out.api_key = plan.api_key;
    out.pid = static_cast<int>(child_->pid());
    co_return out;
  }

  Task<void> stop(Ending ending) override {
    events_.on_exit = nullptr;  // its end is wanted now; what it says of it is still heard
    if (child_ && !exit_) {
      // Not to the group: the engine's own children end at the signal, and with them the answers that still run.
      if (child_->running()) ::kill(child_->pid(), SIGTERM);
      Deadline last([this] {
        if (child_) child_->kill();
      });
      control_.wheel().arm(last, ending == Ending::kSoon ? std::min(kSoon, stop_timeout_) : stop_timeout_);
      while (!exit_) co_await ended_.wait();
    }
    events_ = {};
    release();
  }

  std::uint64_t memory_bytes() const override { return child_ && !exit_ ? group_memory(child_->pid()) : 0; }

 private:
  // The plan's port if it is free, else any free one. Somebody may take it before the engine does; it then says so.
  static Result<std::uint16_t> choose_port(const LaunchPlan& plan) {
    auto listener = net::listen_tcp("127.0.0.1", plan.port);
    if (!listener) {
      return fail(ErrorCode::kEngineFailed,
                  fmt::format("the engine \"{}\" cannot have its port: {}; set another port, or 0 for any free one",
                              plan.engine, listener.error().message));
    }
    const auto port = net::local_port(*listener);
    ::close(*listener);
    return port;
  }

  void on_end(ExitStatus status) {
    LaunchExit exit;
    if (status.kind == ExitStatus::Kind::kSignalled) {
      exit.signal = status.code;
    } else {
      exit.status = status.kind == ExitStatus::Kind::kExited ? status.code : -1;
    }
    exit.out_of_memory = exit.signal == SIGKILL && oom_kills() > oom_before_;
    exit_ = true;
    ended_.notify();
    if (auto tell = std::exchange(events_.on_exit, nullptr)) tell(exit);
  }

  void release() {
    child_.reset();
    if (leash_ >= 0) ::close(std::exchange(leash_, -1));
  }

  Loop& control_;
  EnvLookup gateway_;
  Events events_;
  std::unique_ptr<ChildProcess> child_;
  Event ended_;
  bool exit_ = false;
  int leash_ = -1;  // the guard's pipe: as long as it is open, the group may live
  std::uint64_t oom_before_ = 0;
  std::chrono::milliseconds stop_timeout_{0};
};

// "0.10.1" of <environment>/lib/python3.12/site-packages/vllm-0.10.1.dist-info, beside <environment>/bin/vllm.
std::string version_in_metadata(const fs::path& program) {
  std::error_code error;
  const fs::path lib = program.parent_path().parent_path() / "lib";
  for (const auto& python : fs::directory_iterator(lib, error)) {
    if (!python.path().filename().string().starts_with("python")) continue;
    for (const auto& package : fs::directory_iterator(python.path() / "site-packages", error)) {
      std::string name = package.path().filename();
      if (!name.starts_with("vllm-") || !name.ends_with(".dist-info")) continue;
      return name.substr(5, name.size() - 5 - std::string_view(".dist-info").size());
    }
  }
  return {};
}

bool is_version(std::string_view text) {
  return text.size() >= 3 && text.size() < 64 && text.front() >= '0' && text.front() <= '9' && text.contains('.') &&
         !text.contains(' ');
}

}  // namespace

std::vector<std::pair<std::string, std::string>> process_environment_for(
    const EnvLookup& gateway, const std::map<std::string, std::string>& own) {
  std::map<std::string, std::string> all{{"LC_ALL", "C.UTF-8"}};
  for (const char* name : kPassed) {
    if (!gateway) break;
    if (auto value = gateway(name)) all.insert_or_assign(name, std::move(*value));
  }
  for (const auto& [name, value] : own) all.insert_or_assign(name, value);
  return {all.begin(), all.end()};
}

std::unique_ptr<Launcher> make_process_launcher(Loop& control, EnvLookup environment) {
  return std::make_unique<ProcessLauncher>(control, std::move(environment));
}

Task<std::string> installed_vllm_version(Loop& control, std::string program,
                                         std::vector<std::pair<std::string, std::string>> environment,
                                         std::chrono::milliseconds patience, CancelToken cancel) {
  const std::string path = find_program(program, environment);
  if (path.empty()) co_return std::string();
  if (auto version = version_in_metadata(path); !version.empty()) co_return version;
  std::string version;
  bool done = cancel.cancelled();
  Event changed(control.executor());
  const auto finish = [&done, &changed] {
    done = true;
    changed.notify();
  };
  auto child = ChildProcess::start(
      control.executor(),
      ChildSpec{.argv = {path, "--version"}, .env = std::move(environment), .working_directory = "/"},
      [&version](std::string_view line) {
        if (is_version(trim(line))) version = trim(line);
      },
      [&finish](ExitStatus) { finish(); });
  if (!child) co_return std::string();
  Deadline last(finish);
  control.wheel().arm(last, patience);
  const auto cancelled = cancel.on_cancel(finish);
  while (!done) co_await changed.wait();
  co_return version;
}

}  // namespace llm::engines
