#include "engines/vllm/cluster_launcher.h"

#include <utility>
#include <vector>

namespace llm::engines {
namespace {

class ClusterLauncher final : public Launcher {
 public:
  explicit ClusterLauncher(std::function<std::unique_ptr<Launcher>()> make) : make_(std::move(make)) {}

  Task<Result<Launched>> launch(LaunchPlan plan, Events events, CancelToken cancel) override {
    events_ = std::move(events);
    auto launched = co_await launch_all(plan, cancel);
    if (launched && mixed_) {
      co_await stop_all(Ending::kSoon);
      launched = co_await launch_all(plan, cancel);
    }
    if (launched && cancel.cancelled()) launched = fail(ErrorCode::kCancelled, "the load was cancelled");
    if (!launched) co_await stop_all(Ending::kSoon);
    co_return launched;
  }

  Task<void> stop(Ending ending) override {
    events_ = {};
    co_await stop_all(ending);
  }

  std::uint64_t memory_bytes() const override { return members_.empty() ? 0 : members_.back()->memory_bytes(); }

 private:
  // The head is the last one.
  Task<Result<Launched>> launch_all(const LaunchPlan& plan, CancelToken cancel) {
    std::vector<LaunchPlan> plans = plan.workers;
    plans.push_back(plan);
    plans.back().workers.clear();
    const std::size_t count = plans.size();
    std::size_t adopted = 0;
    Result<Launched> launched;
    for (auto& one : plans) {
      auto member = make_();
      launched = co_await member->launch(std::move(one), events_of_member(), cancel);
      if (!launched) co_return launched;  // and left nothing behind
      members_.push_back(std::move(member));
      if (launched->adopted) ++adopted;
    }
    mixed_ = adopted != 0 && adopted != count;
    co_return launched;
  }

  // The head first: to it the end of a worker would be a failure.
  Task<void> stop_all(Ending ending) {
    stopping_ = true;
    while (!members_.empty()) {
      const auto member = std::move(members_.back());
      members_.pop_back();
      co_await member->stop(ending);
    }
    stopping_ = false;
  }

  Events events_of_member() {
    return {.on_line =
                [this](std::string_view line) {
                  if (events_.on_line) events_.on_line(line);
                },
            .on_progress =
                [this](LoadProgress progress) {
                  if (events_.on_progress) events_.on_progress(std::move(progress));
                },
            .on_exit =
                [this](LaunchExit exit) {
                  if (stopping_) return;
                  if (auto tell = std::exchange(events_.on_exit, nullptr)) tell(exit);
                }};
  }

  std::function<std::unique_ptr<Launcher>()> make_;
  Events events_;
  std::vector<std::unique_ptr<Launcher>> members_;
  bool mixed_ = false;
  bool stopping_ = false;
};

}  // namespace

std::unique_ptr<Launcher> make_cluster_launcher(std::function<std::unique_ptr<Launcher>()> make) {
  return std::make_unique<ClusterLauncher>(std::move(make));
}

}  // namespace llm::engines
