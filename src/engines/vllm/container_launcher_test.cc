#include "engines/vllm/container_launcher.h"

#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "async/run_task.h"
#include "containers/fake_daemon.h"
#include "engines/vllm/container_body.h"
#include "engines/vllm/container_keys.h"
#include "engines/vllm/plan.h"

namespace llm::engines {
namespace {

using containers::FakeDaemon;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr std::string_view kImage = "vllm/vllm-openai:0.10.1";

class ContainerLauncherTest : public testing::Test {
 protected:
  ContainerLauncherTest() : changed(loop.executor()) { daemon.images.emplace_back(kImage); }
  ~ContainerLauncherTest() override { std::filesystem::remove_all(settings.state_dir); }

  LaunchPlan plan() const {
    LaunchPlan plan;
    plan.engine = "big";
    plan.hash = "h1";
    plan.argv = {"--model", "m"};
    plan.environment = {{"HF_TOKEN", "SECRET-token"}, {"VLLM_API_KEY", "SECRET-key"}};
    plan.api_key = "SECRET-key";
    plan.image = kImage;
    plan.container = {
        {"Cmd", json::array{"--model", "m"}},
        {"HostConfig",
         {{"PortBindings", {{"8000/tcp", json::array{json::object{{"HostIp", "0.0.0.0"}, {"HostPort", "80"}}}}}},
          {"ShmSize", 1}}}};
    plan.docker_host = daemon.host();
    plan.stop_timeout = std::chrono::milliseconds(7'000);
    return plan;
  }
  Launcher::Events events() {
    return {.on_line =
                [this](std::string_view line) {
                  lines.emplace_back(line);
                  changed.notify();
                },
            .on_progress = [this](LoadProgress progress) { pulled.push_back(std::move(progress)); },
            .on_exit =
                [this](LaunchExit exit) {
                  exits.push_back(exit);
                  changed.notify();
                }};
  }
  std::unique_ptr<Launcher> launcher() { return make_container_launcher(loop, http, settings); }
  std::size_t key_files() const {
    std::error_code none;
    const auto all = std::filesystem::directory_iterator(settings.state_dir, none);
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }
  Task<void> until_lines(std::size_t count) {
    while (lines.size() < count) co_await changed.wait();
  }
  Task<void> until_exit() {
    while (exits.empty()) co_await changed.wait();
  }
  std::size_t count_seen(std::string_view part) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        daemon.seen, [part](const std::string& one) { return one.find(part) != std::string::npos; }));
  }
  void play(Task<void> test) {
    run_task(loop, std::move(test));
    run_task(loop, daemon.stop());
  }

  Loop loop{"test"};
  FakeDaemon daemon{loop};
  net::HttpClient http{loop, {}};
  ContainerLauncherSettings settings{"gateway-1",
                                     std::filesystem::path(testing::TempDir()) / ("llm-containers-" + unique_id())};
  Event changed;
  std::vector<std::string> lines;
  std::vector<LoadProgress> pulled;
  std::vector<LaunchExit> exits;

 public:
  Task<void> starts();
  Task<void> adopts(std::string hash, bool with_key);
  Task<void> pulls();
  Task<void> ends();
  Task<void> stops(bool keep);
  Task<void> cancelled_at(std::size_t request, bool& in_time);
  Task<void> fails_at(std::size_t request, bool& reached);
  Task<void> interrupted();
  Task<void> orphans();
  Task<void> name_is_taken();
  Task<void> ends_at_once();
  Task<void> foreign();
  Task<void> limits();
};

Task<void> ContainerLauncherTest::starts() {
  auto big = launcher();
  const auto launched = co_await big->launch(plan(), events(), {});
  EXPECT_TRUE(launched) << launched.error().message;
  EXPECT_EQ(launched->endpoint.text(), "http://127.0.0.1:40001");
  EXPECT_EQ(launched->api_key, "SECRET-key");
  EXPECT_EQ(launched->pid, 4711);
  EXPECT_FALSE(launched->adopted);
  auto& made = daemon.containers.at(0);
  EXPECT_EQ(made.state, "running");
  EXPECT_EQ(made.name, "llm-mcp-big-gateway-");
  EXPECT_EQ(made.body.at("Image").as_string(), kImage);
  EXPECT_EQ(made.body.at("Labels"), (json::object{{"llm-mcp.engine", "big"},
                                                  {"llm-mcp.hash", "h1"},
                                                  {"llm-mcp.gateway", "gateway-1"},
                                                  {"llm-mcp.run", settings.run}}));
  EXPECT_EQ(made.body.at("Env"), (json::array{"HF_TOKEN=SECRET-token", "VLLM_API_KEY=SECRET-key"}));
  const auto& host = made.body.at("HostConfig").as_object();
  EXPECT_EQ(host.at("PortBindings"),
            (json::object{{"8000/tcp", json::array{json::object{{"HostIp", "127.0.0.1"}, {"HostPort", ""}}}}}));
  EXPECT_EQ(host.at("RestartPolicy").at("Name").as_string(), "no");
  EXPECT_THAT(daemon.seen, Each(Not(HasSubstr("SECRET")))) << "secrets travel in the body alone";
  daemon.print(made, "INFO starting");
  daemon.print(made, "WARN odd", 1);
  co_await until_lines(2);
  EXPECT_THAT(lines, ElementsAre("INFO starting", "WARN odd"));
  for (const auto& file : std::filesystem::directory_iterator(settings.state_dir)) {
    struct stat found{};
    EXPECT_EQ(stat(file.path().c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0600U);
  }
  EXPECT_EQ(key_files(), 1U);
  co_await big->stop(Launcher::Ending::kDrain);
}

TEST_F(ContainerLauncherTest, StartsAContainerThatOnlyThisMachineReaches) {
  play(starts());
}

Task<void> ContainerLauncherTest::adopts(std::string hash, bool with_key) {
  auto first = launcher();
  EXPECT_TRUE(co_await first->launch(plan(), events(), {}));
  daemon.print(daemon.containers.at(0), "of its first life");
  co_await until_lines(1);
  co_await first->stop(Launcher::Ending::kKeep);
  EXPECT_EQ(daemon.containers.size(), 1U);
  EXPECT_EQ(key_files(), 1U);
  if (!with_key) std::filesystem::remove_all(settings.state_dir);
  auto next = plan();
  next.hash = hash;
  next.api_key = "SECRET-other";
  auto second = launcher();
  const auto launched = co_await second->launch(next, events(), {});
  EXPECT_TRUE(launched);
  const bool same = hash == "h1" && with_key;
  EXPECT_EQ(launched->adopted, same);
  EXPECT_EQ(launched->api_key, same ? "SECRET-key" : "SECRET-other");
  EXPECT_EQ(launched->endpoint.port, 40'001);
  EXPECT_EQ(daemon.containers.size(), 1U);
  EXPECT_EQ(count_seen("/containers/create"), same ? 1U : 2U);
  if (same) {
    co_await until_lines(2);
    EXPECT_THAT(lines, ElementsAre("of its first life", "of its first life")) << "also what was before";
  } else {
    EXPECT_EQ(count_seen("/stop?t=7"), 1U) << "politely";
  }
  co_await second->stop(Launcher::Ending::kDrain);
  EXPECT_THAT(daemon.containers, IsEmpty());
  EXPECT_EQ(key_files(), 0U);
}

TEST_F(ContainerLauncherTest, AdoptsWhatRunsWithTheSameHash) {
  play(adopts("h1", true));
}
TEST_F(ContainerLauncherTest, ReplacesWhatRunsWithAnotherHash) {
  play(adopts("h2", true));
}
TEST_F(ContainerLauncherTest, ReplacesWhatRunsWithAnUnknownKey) {
  play(adopts("h1", false));
}

Task<void> ContainerLauncherTest::limits() {
  LaunchPlan wanted = plan();
  wanted.container["HostConfig"].get_object()["Ulimits"] = json::array{json::object{{"Name", "memlock"}}};
  daemon.on_request = [this](std::size_t) {
    // A container with limits cannot be started, one without them can.
    const bool limited =
        !daemon.containers.empty() && daemon.containers.back().body.at("HostConfig").as_object().contains("Ulimits");
    daemon.answers.clear();
    if (!limited) return;
    daemon.answers["POST /containers/" + daemon.containers.back().id + "/start"] = {
        500, R"({"message":"runc: error setting rlimit type 8: operation not permitted"})"};
  };
  auto big = launcher();
  const auto launched = co_await big->launch(std::move(wanted), events(), {});
  EXPECT_TRUE(launched) << launched.error().message;
  EXPECT_EQ(count_seen("/containers/create"), 2U);
  EXPECT_EQ(daemon.containers.size(), 1U);
  EXPECT_EQ(key_files(), 1U);
  co_await big->stop(Launcher::Ending::kDrain);
}

TEST_F(ContainerLauncherTest, DoesWithoutLimitsThatCannotBeRaised) {
  play(limits());
}

Task<void> ContainerLauncherTest::foreign() {
  daemon.add("theirs", "running", {{"llm-mcp.engine", "big"}, {"llm-mcp.hash", "h1"}, {"llm-mcp.gateway", "other"}});
  daemon.add("old", "exited", {{"llm-mcp.engine", "big"}, {"llm-mcp.hash", "h1"}, {"llm-mcp.gateway", "gateway-1"}});
  daemon.add("small", "running", {{"llm-mcp.engine", "s"}, {"llm-mcp.hash", "h9"}, {"llm-mcp.gateway", "gateway-1"}});
  auto big = launcher();
  EXPECT_TRUE(co_await big->launch(plan(), events(), {}));
  std::vector<std::string> names;
  for (const auto& one : daemon.containers) names.push_back(one.name);
  EXPECT_THAT(names, ElementsAre("theirs", "small", "llm-mcp-big-gateway-"));
  co_await big->stop(Launcher::Ending::kDrain);
}

TEST_F(ContainerLauncherTest, LeavesOtherGatewaysAndEnginesAlone) {
  play(foreign());
}

Task<void> ContainerLauncherTest::pulls() {
  daemon.images.clear();
  auto strict = plan();
  strict.pull = false;
  auto refused = launcher();
  const auto missing = co_await refused->launch(strict, events(), {});
  EXPECT_EQ(missing.error().code, ErrorCode::kEngineFailed);
  EXPECT_THAT(missing.error().message, HasSubstr("container.pull is false"));

  auto wanted = plan();
  wanted.registry_auth = "me:SECRET";
  daemon.pull_body = R"({"status":"Downloading","id":"a","progressDetail":{"current":5,"total":10}})"
                     "\n"
                     R"({"status":"Pull complete","id":"a"})"
                     "\n";
  auto big = launcher();
  EXPECT_TRUE(co_await big->launch(wanted, events(), {}));
  EXPECT_EQ(pulled.back(), (LoadProgress{"pulling image", 1}));
  EXPECT_EQ(daemon.auth_seen.size(), 1U);
  co_await big->stop(Launcher::Ending::kDrain);

  daemon.images.clear();
  daemon.answers["POST /images/create"] = {200, R"({"error":"pull access denied"})"};
  auto denied = launcher();
  const auto failed = co_await denied->launch(wanted, events(), {});
  EXPECT_EQ(failed.error().code, ErrorCode::kEngineFailed) << "the caller's rights are not the matter";
  EXPECT_THAT(failed.error().message, HasSubstr("container.registry_auth"));
  EXPECT_THAT(failed.error().message, Not(HasSubstr("SECRET")));
}

TEST_F(ContainerLauncherTest, PullsAnImageThatIsNotHere) {
  play(pulls());
}

Task<void> ContainerLauncherTest::ends() {
  auto big = launcher();
  EXPECT_TRUE(co_await big->launch(plan(), events(), {}));
  auto& made = daemon.containers.at(0);
  daemon.print(made, "last words");
  daemon.end(made, 137, true);
  co_await until_exit();
  EXPECT_THAT(lines, ElementsAre("last words")) << "before its end is told";
  EXPECT_TRUE(exits[0].out_of_memory);
  EXPECT_EQ(exits[0].signal, 9);
  EXPECT_FALSE(exits[0].status);
  EXPECT_THAT(daemon.containers, IsEmpty()) << "nothing is left to clean up";
  EXPECT_EQ(key_files(), 0U);
  EXPECT_EQ(big->memory_bytes(), 0U);
  co_await big->stop(Launcher::Ending::kDrain);
  EXPECT_EQ(exits.size(), 1U);
}

TEST_F(ContainerLauncherTest, ItsEndIsToldAfterItsLastLine) {
  play(ends());
}

Task<void> ContainerLauncherTest::ends_at_once() {
  auto big = launcher();
  daemon.on_request = [this](std::size_t) {
    for (auto& one : daemon.containers) {
      if (one.state != "running") continue;
      daemon.print(one, "no GPU");
      daemon.end(one, 1);
    }
  };
  EXPECT_TRUE(co_await big->launch(plan(), events(), {}));
  co_await until_exit();
  EXPECT_EQ(exits[0].status, 1);
  EXPECT_THAT(lines, ElementsAre("no GPU"));
  co_await big->stop(Launcher::Ending::kDrain);
}

TEST_F(ContainerLauncherTest, OneThatEndsAtOnceStillTellsWhy) {
  play(ends_at_once());
}

Task<void> ContainerLauncherTest::stops(bool keep) {
  auto big = launcher();
  EXPECT_TRUE(co_await big->launch(plan(), events(), {}));
  co_await big->stop(keep ? Launcher::Ending::kKeep : Launcher::Ending::kDrain);
  EXPECT_EQ(daemon.containers.size(), keep ? 1U : 0U);
  EXPECT_EQ(key_files(), keep ? 1U : 0U);
  EXPECT_EQ(count_seen("/stop?t=7"), keep ? 0U : 1U);
  EXPECT_THAT(exits, IsEmpty());
}

TEST_F(ContainerLauncherTest, StopEndsItWithoutNews) {
  play(stops(false));
}
TEST_F(ContainerLauncherTest, StopCanLeaveItRunning) {
  play(stops(true));
}

// Also where the request in question has been carried out already: the fake answers it all the same.
Task<void> ContainerLauncherTest::cancelled_at(std::size_t request, bool& in_time) {
  daemon.seen.clear();
  CancelSource source;
  daemon.on_request = [&source, request](std::size_t number) {
    if (number == request) source.cancel();
  };
  auto big = launcher();
  const auto launched = co_await big->launch(plan(), events(), source.token());
  in_time = source.cancelled();
  daemon.on_request = nullptr;
  EXPECT_EQ(launched.has_value(), !in_time);
  if (!launched) {
    EXPECT_EQ(launched.error().code, ErrorCode::kCancelled);
  }
  co_await big->stop(Launcher::Ending::kDrain);
  EXPECT_THAT(daemon.containers, IsEmpty()) << "cancelled at request " << request;
  EXPECT_EQ(key_files(), 0U);
}

TEST_F(ContainerLauncherTest, ACancelAtAnyPointLeavesNothingBehind) {
  bool in_time = true;
  std::size_t request = 1;
  for (; in_time && request < 100; ++request) {
    daemon.images.clear();
    run_task(loop, cancelled_at(request, in_time));
  }
  EXPECT_GT(request, 6U) << "version, list, image, pull, create, start, inspect";
  EXPECT_THAT(exits, IsEmpty());
  run_task(loop, daemon.stop());
}

Task<void> ContainerLauncherTest::fails_at(std::size_t request, bool& reached) {
  daemon.seen.clear();
  daemon.fail_at = request;
  auto big = launcher();
  const auto launched = co_await big->launch(plan(), events(), {});
  reached = !launched;
  if (!launched) {
    EXPECT_EQ(launched.error().code, ErrorCode::kEngineFailed);
    EXPECT_THAT(launched.error().message, HasSubstr("it does not work"));
  }
  daemon.fail_at = 0;
  co_await big->stop(Launcher::Ending::kDrain);
  EXPECT_THAT(daemon.containers, IsEmpty()) << "failed at request " << request;
  EXPECT_EQ(key_files(), 0U);
}

TEST_F(ContainerLauncherTest, AFailureAtAnyPointLeavesNothingBehind) {
  bool reached = true;
  std::size_t request = 1;
  for (; reached && request < 100; ++request) {
    daemon.images.clear();
    run_task(loop, fails_at(request, reached));
  }
  EXPECT_GT(request, 6U);
  run_task(loop, daemon.stop());
}

Task<void> ContainerLauncherTest::interrupted() {
  auto big = launcher();
  EXPECT_TRUE(co_await big->launch(plan(), events(), {}));
  auto& made = daemon.containers.at(0);
  daemon.print(made, "before");
  co_await until_lines(1);
  daemon.break_streams();
  while (count_seen("since=") == 0) co_await sleep_for(std::chrono::milliseconds(1));
  daemon.print(made, "after");
  co_await until_lines(2);
  EXPECT_THAT(lines, ElementsAre("before", "after")) << "none twice";
  EXPECT_THAT(exits, IsEmpty());
  co_await big->stop(Launcher::Ending::kDrain);
}

TEST_F(ContainerLauncherTest, GoesOnWatchingWhenTheContainerEngineStartsAnew) {
  play(interrupted());
}

Task<void> ContainerLauncherTest::name_is_taken() {
  daemon.on_request = [this](std::size_t) {
    if (!daemon.seen.back().contains("/containers/create")) return;
    const bool first = daemon.seen.back().ends_with("name=llm-mcp-big-gateway-");
    daemon.fail_at = 0;
    if (first) daemon.answers["POST /containers/create"] = {409, R"({"message":"the name is in use"})"};
    if (!first) daemon.answers.clear();
  };
  auto big = launcher();
  EXPECT_TRUE(co_await big->launch(plan(), events(), {}));
  EXPECT_THAT(daemon.containers.at(0).name, testing::MatchesRegex("llm-mcp-big-gateway--[0-9a-f]+"));
  co_await big->stop(Launcher::Ending::kDrain);
}

TEST_F(ContainerLauncherTest, ANameThatSomebodyHasIsLeftToThem) {
  play(name_is_taken());
}

Task<void> ContainerLauncherTest::orphans() {
  const auto labels = [](std::string engine, std::string hash, std::string gateway) {
    return std::map<std::string, std::string>{
        {"llm-mcp.engine", engine}, {"llm-mcp.hash", hash}, {"llm-mcp.gateway", gateway}};
  };
  const ContainerKeys keys(settings.state_dir, daemon.host());
  for (const auto& [engine, state, hash, gateway] :
       std::vector<std::array<std::string, 4>>{{"wanted", "running", "h1", "gateway-1"},
                                               {"unwanted", "running", "h2", "gateway-1"},
                                               {"ended", "exited", "h1", "gateway-1"},
                                               {"theirs", "running", "h2", "gateway-2"}}) {
    EXPECT_TRUE(keys.write(daemon.add(engine, state, labels(engine, hash, gateway)).id, "k"));
  }
  daemon.add("keyless", "running", labels("keyless", "h1", "gateway-1"));
  auto now = labels("now", "h9", "gateway-1");
  now["llm-mcp.run"] = settings.run;
  daemon.add("now", "created", now);
  const ContainerKeys elsewhere(settings.state_dir, "unix:/run/other.sock");
  EXPECT_TRUE(elsewhere.write("abc", "k"));
  const auto removed = co_await remove_orphan_containers(loop, http, settings, daemon.host(), {"h1", "h7"}, {});
  EXPECT_TRUE(removed) << removed.error().message;
  EXPECT_THAT(*removed, ElementsAre("unwanted", "ended", "keyless"));
  std::vector<std::string> names;
  for (const auto& one : daemon.containers) names.push_back(one.name);
  EXPECT_THAT(names, ElementsAre("wanted", "theirs", "now"));
  EXPECT_EQ(key_files(), 2U) << "of the one that stays, and of the other container engine";
}

TEST_F(ContainerLauncherTest, OrphansAreRemovedAtStartUp) {
  play(orphans());
}

TEST_F(ContainerLauncherTest, WithoutAContainerEngineTheWayOutIsSaid) {
  auto lost = plan();
  lost.docker_host = "unix:/nonexistent/docker.sock";
  auto big = launcher();
  const auto tries = [](Launcher& one, LaunchPlan what) -> Task<void> {
    const auto launched = co_await one.launch(std::move(what), {}, {});
    EXPECT_EQ(launched.error().code, ErrorCode::kUnavailable);
    EXPECT_THAT(launched.error().message, HasSubstr("install and start Docker"));
    co_await one.stop(Launcher::Ending::kDrain);
  };
  run_task(loop, tries(*big, lost));
  run_task(loop, daemon.stop());
}

TEST(ContainerBody, SharesTheHostsNetworkWhereThePlanDoes) {
  LaunchPlan plan;
  plan.engine = "big";
  plan.container = {{"HostConfig", {{"NetworkMode", "host"}, {"LogConfig", {{"Type", "local"}}}}}};
  EXPECT_EQ(published_port(plan), "");
  const auto body = container_body(plan, {"g", "/x"});
  EXPECT_FALSE(body.at("HostConfig").as_object().contains("PortBindings"));
  EXPECT_EQ(body.at("HostConfig").at("LogConfig").at("Type").as_string(), "local");
  EXPECT_EQ(launched_name("Größe#1", "0123456789"), "llm-mcp-Gr----e-1-01234567");
}

TEST(ContainerKeys, AreOnlyReadWhereNobodyElseCould) {
  const auto folder = std::filesystem::path(testing::TempDir()) / ("llm-keys-" + unique_id());
  const ContainerKeys keys(folder, "unix:/a");
  EXPECT_EQ(keys.read("id"), std::nullopt);
  ASSERT_TRUE(keys.write("id", "secret"));
  EXPECT_EQ(keys.read("id"), "secret");
  ASSERT_TRUE(keys.write("id", ""));
  EXPECT_EQ(keys.read("id"), "") << "an engine without a key";
  EXPECT_EQ(ContainerKeys(folder, "unix:/b").read("id"), std::nullopt);
  for (const auto& file : std::filesystem::directory_iterator(folder)) chmod(file.path().c_str(), 0644);
  EXPECT_EQ(keys.read("id"), std::nullopt);
  chmod(folder.c_str(), 0755);
  EXPECT_FALSE(keys.write("other", "secret"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace llm::engines
