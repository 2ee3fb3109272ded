#include "containers/docker_client.h"

#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "async/run_task.h"
#include "async/task_group.h"
#include "containers/fake_daemon.h"
#include "net/base64.h"

namespace llm::containers {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class DockerClientTest : public testing::Test {
 protected:
  void play(Task<void> test) {
    run_task(loop, std::move(test));
    run_task(loop, daemon.stop());
  }

  Loop loop{"test"};
  FakeDaemon daemon{loop};
  net::HttpClient http{loop, {}};
  DockerClient docker{http, parse_docker_host(daemon.host()).value()};
};

TEST(DockerHost, IsASocketOrLoopback) {
  EXPECT_EQ(parse_docker_host("unix:/var/run/docker.sock")->unix_path, "/var/run/docker.sock");
  EXPECT_EQ(parse_docker_host("unix:///run/user/1000/podman/podman.sock")->unix_path,
            "/run/user/1000/podman/podman.sock");
  EXPECT_EQ(parse_docker_host("tcp://127.0.0.1:2375")->text(), "http://127.0.0.1:2375");
  EXPECT_EQ(parse_docker_host("http://[::1]:2375")->port, 2375);
  for (const std::string_view bad : {"", "docker.sock", "unix:docker.sock", "ssh://host", "tcp://10.0.0.1:2375"}) {
    const auto endpoint = parse_docker_host(bad);
    ASSERT_FALSE(endpoint) << bad;
    EXPECT_EQ(endpoint.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(RegistryAuth, IsBase64UrlThatNeedsNoPadding) {
  for (const std::string_view account : {"a:b", "a:bc", "a:bcd", "robot:p:with:colons\"ÿ"}) {
    const auto encoded = registry_auth(account);
    ASSERT_TRUE(encoded);
    EXPECT_EQ(encoded->size() % 4, 0U);
    EXPECT_THAT(*encoded, Not(HasSubstr("=")));
    const auto document = json::parse(base64url_decode(*encoded).value()).value();
    EXPECT_EQ(document.at("username").as_string(), account.substr(0, account.find(':')));
    EXPECT_EQ(document.at("password").as_string(), account.substr(account.find(':') + 1));
  }
  for (const std::string_view bad : {"", "token", ":password"}) {
    ASSERT_FALSE(registry_auth(bad));
    EXPECT_EQ(registry_auth(bad).error().message.find("token"), std::string::npos) << "it is a secret";
  }
}

TEST(SplitImage, TagsDigestsAndPorts) {
  EXPECT_EQ(split_image("vllm/vllm-openai:0.10.1"), (ImageName{"vllm/vllm-openai", "0.10.1"}));
  EXPECT_EQ(split_image("vllm"), (ImageName{"vllm", "latest"}));
  EXPECT_EQ(split_image("localhost:5000/a/b"), (ImageName{"localhost:5000/a/b", "latest"}));
  EXPECT_EQ(split_image("localhost:5000/a:1"), (ImageName{"localhost:5000/a", "1"}));
  EXPECT_EQ(split_image("a/b:1@sha256:0f"), (ImageName{"a/b", "sha256:0f"}));
}

Task<void> version_of(FakeDaemon& daemon, net::HttpClient& http, std::string newest, std::string oldest,
                      std::string expected) {
  daemon.version = {{"ApiVersion", newest}, {"MinAPIVersion", oldest}, {"Version", "1"}};
  DockerClient docker(http, parse_docker_host(daemon.host()).value());
  EXPECT_EQ((co_await docker.version({}))->api, expected);
  EXPECT_EQ((co_await docker.info({}))->runtimes, (std::vector<std::string>{"runc", "nvidia"}));
  EXPECT_EQ(daemon.seen.back(), "GET /v" + expected + "/info");
}

TEST_F(DockerClientTest, SpeaksAnApiThatBothKnow) {
  run_task(loop, version_of(daemon, http, "1.41", "1.12", "1.41"));
  run_task(loop, version_of(daemon, http, "1.47", "1.24", "1.41"));
  run_task(loop, version_of(daemon, http, "1.9", "", "1.9"));
  run_task(loop, version_of(daemon, http, "1.52", "1.44", "1.44"));
  run_task(loop, daemon.stop());
}

Task<void> pulls(DockerClient& docker, FakeDaemon& daemon) {
  EXPECT_EQ(co_await docker.has_image("localhost:5000/v/m:1", {}), false);
  daemon.pull_body =
      "{\"status\":\"Downloading\",\"id\":\"a\",\"progressDetail\":{\"current\":1,\"total\":2}}\r\n"
      "{\"status\":\"Pull complete\",\"id\":\"a\"}\r\n";
  std::vector<double> told;
  const auto note = [&told](double fraction) { told.push_back(fraction); };
  const auto pulled = co_await docker.pull_image("localhost:5000/v/m:1", "c2VjcmV0", note, {});
  EXPECT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(told.back(), 1);
  EXPECT_EQ(daemon.seen.back(), "POST /v1.41/images/create?fromImage=localhost%3A5000%2Fv%2Fm&tag=1");
  EXPECT_EQ(daemon.auth_seen.begin()->second, "c2VjcmV0");
  EXPECT_EQ(co_await docker.has_image("localhost:5000/v/m:1", {}), true);
}

TEST_F(DockerClientTest, PullsImages) {
  play(pulls(docker, daemon));
}

Task<void> failed_pulls(DockerClient& docker, FakeDaemon& daemon) {
  struct Case {
    FakeDaemon::Answer answer;
    std::string auth;
    ErrorCode code;
    std::string says;
  };
  const std::vector<Case> cases{
      {{200, R"({"errorDetail":{"message":"unauthorized: bad"},"error":"unauthorized: bad"})"},
       "x",
       ErrorCode::kPermissionDenied,
       "does not accept container.registry_auth"},
      {{500, R"({"message":"Head \"http://r/\": no basic auth credentials"})"},
       "",
       ErrorCode::kPermissionDenied,
       "give the account in container.registry_auth"},
      {{404, R"({"message":"manifest for r/x:1 not found: manifest unknown"})"},
       "",
       ErrorCode::kNotFound,
       "no such name or tag"},
      {{200, R"({"error":"write /var/x: no space left on device"})"}, "", ErrorCode::kDiskFull, "disk"},
      {{500, R"({"message":"dial tcp: lookup r: no such host"})"},
       "",
       ErrorCode::kEngineFailed,
       "Check the registry and the network"},
  };
  for (const auto& one : cases) {
    daemon.answers["POST /images/create"] = one.answer;
    const auto pulled = co_await docker.pull_image("r/x:1", one.auth, nullptr, {});
    EXPECT_FALSE(pulled);
    if (pulled) continue;
    EXPECT_EQ(pulled.error().code, one.code) << pulled.error().message;
    EXPECT_THAT(pulled.error().message, HasSubstr(one.says));
    EXPECT_THAT(pulled.error().message, HasSubstr("\"r/x:1\""));
  }
}

TEST_F(DockerClientTest, AFailedPullSaysWhatToDo) {
  play(failed_pulls(docker, daemon));
}

Task<void> life(DockerClient& docker, FakeDaemon& daemon) {
  const json::object body{{"Image", "x"}, {"Labels", {{"who", "me"}}}};
  const auto id = co_await docker.create("big one", body, {});
  EXPECT_EQ(daemon.containers.at(0).name, "big one");
  EXPECT_EQ(daemon.containers.at(0).body, body);
  EXPECT_TRUE(co_await docker.start(*id, {}));
  const auto details = co_await docker.inspect(*id, {});
  EXPECT_TRUE(details->running);
  EXPECT_EQ(details->ports.at("8000/tcp"), 40'001);
  EXPECT_EQ(details->labels.at("who"), "me");
  EXPECT_EQ(details->pid, 4711);
  EXPECT_EQ(co_await docker.memory_bytes(*id, {}), 4000U);
  daemon.add("other", "running", {{"who", "you"}});
  const auto mine = co_await docker.list({{"who", "me"}}, {});
  EXPECT_EQ(mine->size(), 1U);
  EXPECT_EQ(mine->at(0).name, "big one");
  EXPECT_EQ(mine->at(0).state, "running");
  EXPECT_EQ((co_await docker.list({{"who", ""}}, {}))->size(), 2U);
  EXPECT_TRUE(co_await docker.stop(*id, std::chrono::milliseconds(1500), {}));
  EXPECT_THAT(daemon.seen.back(), HasSubstr("/stop?t=2"));
  EXPECT_TRUE(co_await docker.kill(*id, {}));
  EXPECT_EQ(co_await docker.wait(*id, {}), 137);
  EXPECT_TRUE(co_await docker.remove(*id, {}));
  EXPECT_TRUE(co_await docker.remove(*id, {})) << "gone already";
  EXPECT_EQ((co_await docker.inspect(*id, {})).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(co_await docker.ping({}));
}

TEST_F(DockerClientTest, AContainersLife) {
  play(life(docker, daemon));
}

Task<void> ends_it(FakeDaemon& daemon, DockerClient& docker) {
  auto& one = daemon.containers.at(0);
  daemon.print(one, "second", 1);
  co_await docker.ping({});  // another connection, meanwhile
  daemon.end(one, 3);
}

Task<void> follows(DockerClient& docker, FakeDaemon& daemon, TaskGroup& group) {
  auto& one = daemon.add("big", "running", {});
  daemon.print(one, "first");
  group.spawn(ends_it(daemon, docker));
  LogLines lines(false);
  std::vector<std::string> got;
  const auto followed = co_await docker.follow_logs(
      one.id, lines, [&got](LogStream, std::string_view line) { got.emplace_back(line); }, {});
  EXPECT_TRUE(followed);
  EXPECT_THAT(got, ElementsAre("first", "second"));
  EXPECT_THAT(daemon.seen, testing::Contains(Not(HasSubstr("since="))));
  co_await docker.follow_logs(one.id, lines, [](LogStream, std::string_view) {}, {});
  EXPECT_THAT(daemon.seen.back(), HasSubstr("&since=1769860800.000000003"));
  EXPECT_EQ(co_await docker.wait(one.id, {}), 3);
  co_await group.join();
}

TEST_F(DockerClientTest, FollowsALogToItsEnd) {
  TaskGroup group(loop.executor());
  play(follows(docker, daemon, group));
}

Task<void> cancel_later(CancelSource& source, FakeDaemon& daemon, std::size_t requests) {
  while (daemon.seen.size() < requests) co_await boost::asio::post(co_await boost::asio::this_coro::executor, use_task);
  source.cancel();
}

Task<void> cancelled_wait(DockerClient& docker, FakeDaemon& daemon, TaskGroup& group) {
  auto& one = daemon.add("big", "running", {});
  CancelSource source;
  group.spawn(cancel_later(source, daemon, 2));
  EXPECT_EQ((co_await docker.wait(one.id, source.token())).error().code, ErrorCode::kCancelled);
  EXPECT_EQ((co_await docker.ping(source.token())).error().code, ErrorCode::kCancelled);
  co_await group.join();
}

TEST_F(DockerClientTest, WaitingEndsWithItsToken) {
  TaskGroup group(loop.executor());
  play(cancelled_wait(docker, daemon, group));
}

Task<void> refusals(DockerClient& docker, FakeDaemon& daemon) {
  struct Case {
    int status;
    std::string said;
    ErrorCode code;
    std::string hint;
  };
  const std::vector<Case> cases{
      {500, R"(could not select device driver \"\" with capabilities: [[gpu]])", ErrorCode::kEngineFailed,
       "nvidia-container-toolkit"},
      {400, "Unknown runtime specified nvidia", ErrorCode::kInvalidArgument, "container.gpu_runtime"},
      {500, "driver failed: Bind for 127.0.0.1:80 failed: port is already allocated", ErrorCode::kEngineFailed,
       "; choose another"},
      {409, "Conflict. The name is in use", ErrorCode::kConflict, "could not create the container: Conflict"},
      {500, "mkdir /x: no space left on device", ErrorCode::kDiskFull, "disk"},
      {400, "invalid mount config: bind source path does not exist: /x", ErrorCode::kInvalidArgument,
       "container.mounts"},
  };
  for (const auto& one : cases) {
    daemon.answers["POST /containers/create"] = {one.status, R"({"message":")" + one.said + R"("})"};
    const auto made = co_await docker.create("x", {{"Env", json::array{"TOKEN=SECRET"}}}, {});
    EXPECT_EQ(made.error().code, one.code) << made.error().message;
    EXPECT_THAT(made.error().message, HasSubstr(one.hint));
    EXPECT_THAT(made.error().message, Not(HasSubstr("SECRET")));
  }
  daemon.answers["POST /containers/create"] = {502, "<html>\x01 bad gateway"};
  EXPECT_THAT((co_await docker.create("x", {}, {})).error().message, HasSubstr("<html>  bad gateway"));
  daemon.answers["POST /containers/create"] = {201, "{}"};
  EXPECT_THAT((co_await docker.create("x", {}, {})).error().message, HasSubstr("without an id"));
  daemon.answers["GET /info"] = {200, "not json"};
  EXPECT_THAT((co_await docker.info({})).error().message, HasSubstr("nonsense when asked to describe itself"));
}

TEST_F(DockerClientTest, RefusalsAreExplained) {
  play(refusals(docker, daemon));
}

Task<void> is_no_daemon(DockerClient& docker, FakeDaemon& daemon) {
  daemon.answers["GET /version"] = {200, R"({"version":"0.10.1"})"};
  EXPECT_THAT((co_await docker.info({})).error().message, HasSubstr("is no container engine"));
}

TEST_F(DockerClientTest, AnotherServerIsNoContainerEngine) {
  play(is_no_daemon(docker, daemon));
}

Task<void> fails_to_connect(net::HttpClient& http, std::string host, std::string says) {
  DockerClient docker(http, parse_docker_host(host).value());
  const auto version = co_await docker.version({});
  EXPECT_EQ(version.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(version.error().message, HasSubstr(says));
}

TEST_F(DockerClientTest, WithoutADaemonTheWayOutIsSaid) {
  run_task(loop, daemon.stop());
  run_task(loop, fails_to_connect(http, "unix:/nonexistent/docker.sock", "there is no container engine at"));
  run_task(loop, fails_to_connect(http, daemon.host(), "does not answer"));
  run_task(loop, fails_to_connect(http, "tcp://127.0.0.1:1", "no container engine answers at"));
  if (geteuid() == 0) return;  // who may use everything
  const std::string path = daemon.host().substr(5);
  chmod(path.c_str(), 0);
  run_task(loop, fails_to_connect(http, daemon.host(), "this user may not use"));
}

Task<void> odd_documents(DockerClient& docker, FakeDaemon& daemon) {
  auto& one = daemon.add("x", "running", {});
  const auto json_of = "GET /containers/" + one.id + "/json";
  for (const std::string_view body : {"{}", "[]", "null", R"({"State":3,"Config":[],"NetworkSettings":{"Ports":null}})",
                                      R"({"NetworkSettings":{"Ports":{"8000/tcp":null,"1/tcp":[],"2/tcp":[{}],)"
                                      R"("3/tcp":[{"HostPort":"0"},{"HostPort":"x"}]}}})"}) {
    daemon.answers[json_of] = {200, std::string(body)};
    const auto details = co_await docker.inspect(one.id, {});
    EXPECT_TRUE(details);
    EXPECT_FALSE(details->running);
    EXPECT_THAT(details->ports, IsEmpty());
  }
  daemon.answers["GET /containers/" + one.id + "/stats"] = {200, R"({"memory_stats":{}})"};
  EXPECT_EQ(co_await docker.memory_bytes(one.id, {}), 0U);
  daemon.answers["GET /containers/" + one.id + "/stats"] = {
      200, R"({"memory_stats":{"usage":900,"stats":{"total_inactive_file":100,"inactive_file":5}}})"};
  EXPECT_EQ(co_await docker.memory_bytes(one.id, {}), 800U);
  daemon.answers["GET /containers/json"] = {200, R"([{},{"Id":"a"},3,{"Id":"b","Names":[],"Labels":{"x":1}}])"};
  EXPECT_EQ((co_await docker.list({}, {}))->size(), 2U);
}

TEST_F(DockerClientTest, WhatIsMissingInADocumentIsNoFault) {
  play(odd_documents(docker, daemon));
}

}  // namespace
}  // namespace llm::containers
