#pragma once

#include <atomic>
#include <deque>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "async/event.h"
#include "async/run_task.h"
#include "engines/supervisor.h"
#include "observe/log_capture.h"

namespace llm::engines {

// For tests: engines that do what a script says. Everything on the control loop.
class FakeEngines {
 public:
  struct Plan {
    bool hold = false;          // start() waits for release()
    Result<void> outcome = {};  // of start()
    bool hold_stop = false;     // stop() waits for release_stop()
    std::uint64_t memory = 0;
    bool deaf = false;                             // a held start() does not notice its cancel
    bool sleeps = false;                           // it can be put to sleep
    bool keeps = false;                            // it outlives an orderly stop of the gateway
    bool hold_command = false;                     // command() waits for release_command(), or its cancel
    Result<json::object> answer = json::object{};  // of command()
  };

  explicit FakeEngines(Loop& loop) : loop_(loop) {}

  // For the engines of `key`, one plan a start; the last one stays.
  void plan(const std::string& key, std::vector<Plan> plans) { plans_[key] = {plans.begin(), plans.end()}; }

  DriverFactory factory() {
    return [this](const EngineSpec& spec) { return make(spec); };
  }

  void release(const std::string& key, Result<void> outcome = {});
  void release_stop(const std::string& key);
  void release_command(const std::string& key);
  void hold_command(const std::string& key);                         // from now on
  void answer(const std::string& key, Result<json::object> answer);  // to commands from now on
  void progress(const std::string& key, LoadProgress progress);
  // What a driver must not do any more once it is ready or stopped.
  void late_progress(const std::string& key) { kept_.at(key).first({"late", 0.5}); }
  void late_exit(const std::string& key) { kept_.at(key).second({ErrorCode::kEngineFailed, "late", {}, {}, 0}); }
  void crash(const std::string& key, Error error = {ErrorCode::kEngineFailed, "was ended by signal 9", {}, {}, 0});
  bool running(const std::string& key) const { return drivers_.contains(key); }

  int starts = 0;
  int stops = 0;
  int cancelled_starts = 0;
  int alive = 0;                      // drivers that exist
  std::vector<std::string> commands;  // "m sleep 1", "m wake", in the order of their beginning
  std::vector<EngineSpec> specs;      // of all starts, in order

 private:
  class FakeDriver;
  std::unique_ptr<Driver> make(const EngineSpec& spec);
  FakeDriver& driver(const std::string& key) { return *drivers_.at(key); }

  Loop& loop_;
  std::map<std::string, std::deque<Plan>> plans_;
  std::map<std::string, FakeDriver*> drivers_;
  std::map<std::string, std::pair<Driver::OnProgress, Driver::OnExit>> kept_;
};

class FakeEngines::FakeDriver final : public Driver {
 public:
  FakeDriver(FakeEngines& engines, const EngineSpec& spec, Plan plan)
      : engines_(engines), spec_(spec), plan_(std::move(plan)), wake_(engines.loop_.executor()) {
    ++engines_.alive;
    engines_.drivers_[spec_.key] = this;
  }
  ~FakeDriver() override {
    EXPECT_FALSE(busy_) << "a driver was destroyed while it worked";
    --engines_.alive;
    if (const auto mine = engines_.drivers_.find(spec_.key); mine != engines_.drivers_.end() && mine->second == this) {
      engines_.drivers_.erase(mine);
    }
  }

  Task<Result<EngineInfo>> start(OnProgress on_progress, OnExit on_exit, CancelToken cancel) override {
    EXPECT_FALSE(std::exchange(busy_, true));
    ++engines_.starts;
    engines_.kept_[spec_.key] = {on_progress, on_exit};
    on_progress_ = std::move(on_progress);
    on_exit_ = std::move(on_exit);
    const auto registration = cancel.on_cancel([this] { wake_.notify(); });
    while (plan_.hold && !released_ && (plan_.deaf || !cancel.cancelled())) co_await wake_.wait();
    busy_ = false;
    if (cancel.cancelled() && !plan_.deaf) {
      ++engines_.cancelled_starts;
      co_return fail(ErrorCode::kCancelled, "the load was cancelled");
    }
    if (!plan_.outcome) co_return fail(plan_.outcome.error());
    EngineInfo info;
    info.upstream_model = spec_.model;
    info.context = spec_.settings.context;
    info.slots = spec_.settings.parallel;
    info.threads = 2;
    info.can_sleep = plan_.sleeps;
    info.pid = ++next_pid_;
    co_return info;
  }

  Task<void> stop() override {
    EXPECT_FALSE(std::exchange(busy_, true)) << "stop() beside start() or another stop()";
    EXPECT_FALSE(std::exchange(stopped_, true)) << "stop() twice";
    ++engines_.stops;
    while (plan_.hold_stop && !stop_released_) co_await wake_.wait();
    busy_ = false;
  }

  Task<Result<json::object>> command(EngineCommand command, CancelToken cancel) override {
    EXPECT_FALSE(std::exchange(busy_, true)) << "two commands at once";
    std::string text = spec_.key;
    if (command.kind == EngineCommand::Kind::kSleep) {
      text += " sleep " + std::to_string(json::int_or(command.arguments, "level"));
    } else {
      text += command.kind == EngineCommand::Kind::kWake ? " wake" : " other";
    }
    engines_.commands.push_back(text);
    const auto registration = cancel.on_cancel([this] { wake_.notify(); });
    while (plan_.hold_command && !command_released_ && !cancel.cancelled()) co_await wake_.wait();
    busy_ = false;
    if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "the command was cancelled");
    co_return plan_.answer;
  }

  bool keeps_running() const override { return plan_.keeps; }
  std::uint64_t memory_bytes() const override { return plan_.memory; }
  std::vector<std::string> last_log_lines() const override { return {"engine of " + spec_.key}; }

 private:
  friend class FakeEngines;
  FakeEngines& engines_;
  EngineSpec spec_;
  Plan plan_;
  Event wake_;
  OnProgress on_progress_;
  OnExit on_exit_;
  bool busy_ = false;
  bool released_ = false;
  bool stopped_ = false;
  bool stop_released_ = false;
  bool command_released_ = false;
  static inline int next_pid_ = 100;
};

inline std::unique_ptr<Driver> FakeEngines::make(const EngineSpec& spec) {
  specs.push_back(spec);
  auto& plans = plans_[spec.key];
  Plan plan = plans.empty() ? Plan{} : plans.front();
  if (plans.size() > 1) plans.pop_front();
  return std::make_unique<FakeDriver>(*this, spec, std::move(plan));
}

inline void FakeEngines::release(const std::string& key, Result<void> outcome) {
  auto& it = driver(key);
  it.plan_.outcome = std::move(outcome);
  it.released_ = true;
  it.wake_.notify();
}
inline void FakeEngines::release_stop(const std::string& key) {
  driver(key).stop_released_ = true;
  driver(key).wake_.notify();
}
inline void FakeEngines::release_command(const std::string& key) {
  driver(key).command_released_ = true;
  driver(key).wake_.notify();
}
inline void FakeEngines::hold_command(const std::string& key) {
  driver(key).plan_.hold_command = true;
  driver(key).command_released_ = false;
}
inline void FakeEngines::answer(const std::string& key, Result<json::object> answer) {
  driver(key).plan_.answer = std::move(answer);
}
inline void FakeEngines::progress(const std::string& key, LoadProgress progress) {
  driver(key).on_progress_(std::move(progress));
}
inline void FakeEngines::crash(const std::string& key, Error error) {
  driver(key).on_exit_(std::move(error));
}

inline constexpr std::uint64_t kGiB = 1ULL << 30;

// A model whose weights are `gib` GiB; with 4 slots of 8192 tokens its KV cache has 1 GiB.
inline std::shared_ptr<EngineSpec> spec_of(const std::string& key, std::uint64_t gib = 1) {
  auto spec = std::make_shared<EngineSpec>();
  spec->key = key;
  spec->model = key;
  spec->settings.cache_ram.bytes = 0;
  spec->settings.context = 8192;
  spec->facts.tensor_bytes = gib * kGiB;
  spec->facts.context_length = 8192;
  spec->facts.head_count_kv_sum = 64;
  spec->facts.key_length = spec->facts.value_length = 128;
  return spec;
}

// A vLLM engine on one GPU, of whose memory it takes `share`.
inline std::shared_ptr<EngineSpec> vllm_of(const std::string& key, double share = 0.6,
                                           IdleAction idle = IdleAction::kStop) {
  auto spec = std::make_shared<EngineSpec>();
  spec->key = spec->model = spec->name = key;
  spec->vllm.emplace();
  spec->vllm->runtime = VllmRuntime::kProcess;
  spec->vllm->gpu_memory_utilization = share;
  spec->vllm->idle_action = idle;
  return spec;
}

// A supervisor, its scripted engines and a loop that is the control loop and the callers' loop at once.
class SupervisorUnderTest {
 public:
  using Acquired = std::optional<Result<Lease>>;

  explicit SupervisorUnderTest(SupervisorSettings settings = {.restart_backoff = std::chrono::milliseconds(1)})
      : metrics("test"),
        fake(loop),
        supervisor(std::make_unique<Supervisor>(loop, with_clock(std::move(settings)), fake.factory(), log.log(),
                                                metrics, [this] { return memory; })) {}

  // Runs `task` and stops the supervisor.
  void run(Task<void> task) { run_task(loop, run_and_stop(std::move(task))); }

  Task<Result<Lease>> acquire(std::shared_ptr<const EngineSpec> spec, Supervisor::AcquireOptions options = {},
                              CancelToken cancel = {}) {
    return supervisor->acquire(std::move(spec), std::move(options), std::move(cancel));
  }
  // The same beside the test; `into` is set when it ends.
  void acquire_later(TaskGroup& group, std::shared_ptr<const EngineSpec> spec, Acquired& into,
                     Supervisor::AcquireOptions options = {}, CancelToken cancel = {}) {
    group.spawn(acquire_into(std::move(spec), into, std::move(options), std::move(cancel)));
  }

  EngineReport report(const std::string& key) const {
    for (auto& report : supervisor->report()) {
      if (report.key == key) return report;
    }
    return {};
  }
  EngineState state(const std::string& key) const { return report(key).status.state; }
  Task<void> until(std::string key, EngineState wanted) {
    while (state(key) != wanted) co_await sleep_for(std::chrono::milliseconds(1));
  }
  // Lets everything go on that waits for nothing but its turn.
  Task<void> settle() {
    for (int i = 0; i < 100; ++i) co_await boost::asio::post(loop.executor(), use_task);
  }

  // The clock of the supervisor stands still but for this (a nanosecond passes whenever it is read, for order).
  Task<void> pass(std::chrono::milliseconds time) {
    clock_ns += std::chrono::nanoseconds(time).count();
    supervisor->check_now();
    return settle();
  }

  std::atomic<std::int64_t> clock_ns = 1'000'000'000;
  std::vector<Gpu> gpus;
  Loop loop{"control"};
  observe::LogCapture log;
  observe::GatewayMetrics metrics;
  SystemMemory memory{64 * kGiB, 64 * kGiB};
  FakeEngines fake;
  std::unique_ptr<Supervisor> supervisor;

 private:
  SupervisorSettings with_clock(SupervisorSettings settings) {
    settings.now = [this] { return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(++clock_ns)); };
    settings.gpus = [this] { return gpus; };
    return settings;
  }
  Task<void> run_and_stop(Task<void> task) {
    co_await std::move(task);
    if (!supervisor) co_return;
    co_await supervisor->stop();
    EXPECT_EQ(fake.alive, 0);
  }
  Task<void> acquire_into(std::shared_ptr<const EngineSpec> spec, Acquired& into, Supervisor::AcquireOptions options,
                          CancelToken cancel) {
    into = co_await supervisor->acquire(std::move(spec), std::move(options), std::move(cancel));
  }
};

}  // namespace llm::engines
