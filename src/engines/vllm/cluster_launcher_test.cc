#include "engines/vllm/cluster_launcher.h"

#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "async/run_task.h"
#include "containers/fake_daemon.h"
#include "engines/vllm/container_launcher.h"
#include "engines/vllm/plan.h"

namespace llm::engines {
namespace {

using containers::FakeDaemon;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Two machines, each with a container engine.
class ClusterLauncherTest : public testing::Test {
 protected:
  ClusterLauncherTest() : changed(loop.executor()) {
    for (auto* daemon : {&here, &there}) daemon->images.emplace_back("vllm");
  }
  ~ClusterLauncherTest() override { std::filesystem::remove_all(settings.state_dir); }

  LaunchPlan part(const FakeDaemon& daemon, std::string engine) const {
    LaunchPlan plan;
    plan.engine = std::move(engine);
    plan.hash = "hash of " + plan.engine;
    plan.environment = {{"VLLM_API_KEY", "key"}};
    plan.api_key = "key";
    plan.image = "vllm";
    plan.container = {{"HostConfig", {{"NetworkMode", "host"}}}};
    plan.docker_host = daemon.host();
    plan.port = 8100;
    return plan;
  }
  LaunchPlan plan() const {
    LaunchPlan plan = part(here, "big");
    plan.workers.push_back(part(there, "big@1"));
    return plan;
  }
  Launcher::Events events() {
    return {.on_line =
                [this](std::string_view line) {
                  lines.emplace_back(line);
                  changed.notify();
                },
            .on_progress = {},
            .on_exit =
                [this](LaunchExit exit) {
                  exits.push_back(exit);
                  changed.notify();
                }};
  }
  std::unique_ptr<Launcher> launcher() {
    return make_cluster_launcher([this] { return make_container_launcher(loop, http, settings); });
  }
  void play(Task<void> test) {
    run_task(loop, std::move(test));
    run_task(loop, here.stop());
    run_task(loop, there.stop());
  }

  Loop loop{"test"};
  FakeDaemon here{loop};
  FakeDaemon there{loop};
  net::HttpClient http{loop, {}};
  ContainerLauncherSettings settings{"gateway-1",
                                     std::filesystem::path(testing::TempDir()) / ("llm-cluster-" + unique_id())};
  Event changed;
  std::vector<std::string> lines;
  std::vector<LaunchExit> exits;

 public:
  Task<void> starts();
  Task<void> adopts(bool worker_lost);
  Task<void> worker_ends();
  Task<void> head_fails();
};

Task<void> ClusterLauncherTest::starts() {
  there.on_request = [this](std::size_t) { EXPECT_THAT(here.containers, IsEmpty()) << "workers first"; };
  auto big = launcher();
  const auto launched = co_await big->launch(plan(), events(), {});
  there.on_request = nullptr;
  EXPECT_TRUE(launched) << launched.error().message;
  EXPECT_EQ(launched->endpoint.text(), "http://127.0.0.1:8100");
  EXPECT_EQ(here.containers.at(0).body.at("Labels").at("llm-mcp.engine").as_string(), "big");
  EXPECT_EQ(there.containers.at(0).body.at("Labels").at("llm-mcp.engine").as_string(), "big@1");
  there.print(there.containers.at(0), "of the worker");
  while (lines.empty()) co_await changed.wait();
  EXPECT_THAT(lines, ElementsAre("of the worker"));
  co_await big->stop(Launcher::Ending::kDrain);
  EXPECT_THAT(here.containers, IsEmpty());
  EXPECT_THAT(there.containers, IsEmpty());
  EXPECT_THAT(exits, IsEmpty());
}

TEST_F(ClusterLauncherTest, StartsTheWorkersBesideTheHead) {
  play(starts());
}

Task<void> ClusterLauncherTest::adopts(bool worker_lost) {
  auto first = launcher();
  EXPECT_TRUE(co_await first->launch(plan(), events(), {}));
  co_await first->stop(Launcher::Ending::kKeep);
  EXPECT_EQ(here.containers.size() + there.containers.size(), 2U);
  if (worker_lost) there.containers.clear();
  const std::string head = here.containers.at(0).id;
  auto second = launcher();
  const auto launched = co_await second->launch(plan(), events(), {});
  EXPECT_TRUE(launched);
  EXPECT_EQ(launched->adopted, !worker_lost);
  EXPECT_EQ(here.containers.at(0).id == head, !worker_lost) << "a head without its worker is of no use";
  EXPECT_EQ(here.containers.size(), 1U);
  EXPECT_EQ(there.containers.size(), 1U);
  EXPECT_THAT(exits, IsEmpty());
  co_await second->stop(Launcher::Ending::kDrain);
}

TEST_F(ClusterLauncherTest, AdoptsAllOfThem) {
  play(adopts(false));
}
TEST_F(ClusterLauncherTest, StartsAllAnewWhereOneIsMissing) {
  play(adopts(true));
}

Task<void> ClusterLauncherTest::worker_ends() {
  auto big = launcher();
  EXPECT_TRUE(co_await big->launch(plan(), events(), {}));
  there.end(there.containers.at(0), 137);
  while (exits.empty()) co_await changed.wait();
  EXPECT_EQ(exits[0].signal, 9);
  co_await big->stop(Launcher::Ending::kDrain);
  EXPECT_THAT(here.containers, IsEmpty());
  EXPECT_EQ(exits.size(), 1U);
}

TEST_F(ClusterLauncherTest, TheEndOfAWorkerIsTheEndOfAll) {
  play(worker_ends());
}

Task<void> ClusterLauncherTest::head_fails() {
  here.images.clear();
  LaunchPlan wanted = plan();
  wanted.pull = false;
  auto big = launcher();
  const auto launched = co_await big->launch(std::move(wanted), events(), {});
  EXPECT_FALSE(launched);
  EXPECT_THAT(launched.error().message, HasSubstr("container.pull"));
  EXPECT_THAT(there.containers, IsEmpty()) << "a worker alone is of no use";
}

TEST_F(ClusterLauncherTest, LeavesNothingWhereTheHeadCannotStart) {
  play(head_fails());
}

}  // namespace
}  // namespace llm::engines
