#include "cli/attach.h"

#include <boost/asio/co_spawn.hpp>
#include <cerrno>
#include <exception>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "async/loop.h"
#include "cli/detached_process.h"
#include "cli/fake_gateway.h"

namespace llm::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;

class Attach : public testing::Test {
 protected:
  // Runs so many attempts side by side, each with a client of its own, as separate processes would.
  std::vector<Result<net::Endpoint>> attach(std::size_t count = 1, CancelToken cancel = {}) {
    std::vector<std::unique_ptr<net::HttpClient>> clients;
    std::vector<Result<net::Endpoint>> results;
    for (std::size_t i = 0; i < count; ++i) {
      clients.push_back(std::make_unique<net::HttpClient>(loop_, net::ClientSettings{}));
      boost::asio::co_spawn(loop_.executor(), ensure_gateway(*clients.back(), gateways_.settings(), cancel),
                            [&, count](std::exception_ptr error, Result<net::Endpoint> result) {
                              EXPECT_FALSE(error);
                              results.push_back(std::move(result));
                              if (results.size() == count) loop_.stop();
                            });
    }
    loop_.context().restart();
    loop_.run();
    return results;
  }
  Error refused() {
    auto result = std::move(attach().front());
    EXPECT_FALSE(result);
    return result ? Error{} : result.error();
  }

  FakeGateways gateways_;
  Loop loop_{"test"};
};

TEST_F(Attach, StartsAGatewayOnceAndFindsItAgain) {
  const auto first = attach();
  ASSERT_TRUE(first.front()) << first.front().error().message;
  EXPECT_EQ(*first.front(), gateways_.settings().endpoint());
  EXPECT_TRUE(attach().front());
  EXPECT_THAT(gateways_.starts(), SizeIs(1));
}

TEST_F(Attach, TheGatewayIsNobodysChildAndHasItsOwnSession) {
  ASSERT_TRUE(attach().front());
  const pid_t pid = gateways_.starts().at(0);
  EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
  EXPECT_NE(::getsid(pid), ::getsid(0));
  EXPECT_NE(::getsid(pid), pid);
}

TEST_F(Attach, FiveAtOnceStartOneGateway) {
  for (const auto& result : attach(5)) EXPECT_TRUE(result) << result.error().message;
  EXPECT_THAT(gateways_.starts(), SizeIs(1));
}

TEST_F(Attach, StartsAnotherAfterTheFirstHasDied) {
  ASSERT_TRUE(attach().front());
  ::kill(gateways_.starts().at(0), SIGKILL);
  loop_.context().restart();
  net::HttpClient http(loop_, {});
  for (bool answers = true; answers;) {  // until its socket is dead
    boost::asio::co_spawn(loop_.executor(), gateway_answers(http, gateways_.settings().endpoint()),
                          [&](std::exception_ptr, bool result) {
                            answers = result;
                            loop_.stop();
                          });
    loop_.context().restart();
    loop_.run();
  }
  const auto again = attach();
  ASSERT_TRUE(again.front()) << again.front().error().message;
  EXPECT_THAT(gateways_.starts(), SizeIs(2));
}

TEST_F(Attach, ShowsTheLastWordsOfAGatewayThatDies) {
  gateways_.mode("die");
  const Error first = refused();
  EXPECT_EQ(first.code, ErrorCode::kUnavailable);
  EXPECT_THAT(first.message, AllOf(HasSubstr("ended while it was starting"), HasSubstr("port 99999 is no port")));
  gateways_.mode("serve");
  EXPECT_TRUE(attach().front());
}

TEST_F(Attach, GivesUpOnAGatewayThatDoesNotAnswer) {
  gateways_.mode("hang");
  gateways_.settings().timeout = std::chrono::milliseconds(50);
  const Error error = refused();
  EXPECT_EQ(error.code, ErrorCode::kUnavailable);
  EXPECT_THAT(error.message, HasSubstr("still runs"));
  while (gateways_.starts().empty()) ::usleep(1000);  // it must be known to be ended
}

TEST_F(Attach, SaysThatThereIsNoProgram) {
  gateways_.settings().program = gateways_.settings().runtime_dir / "nothing";
  const Error error = refused();
  EXPECT_EQ(error.code, ErrorCode::kNotFound);
  EXPECT_THAT(error.message, HasSubstr("nothing"));
}

TEST_F(Attach, RefusesARuntimeDirectoryThatOthersCanRead) {
  std::filesystem::permissions(gateways_.settings().runtime_dir, std::filesystem::perms(0755));
  EXPECT_EQ(refused().code, ErrorCode::kPermissionDenied);
}

TEST_F(Attach, StopsOnCancel) {
  gateways_.mode("hang");
  const CancelSource cancel;
  cancel.cancel();
  EXPECT_EQ(attach(1, cancel.token()).front().error().code, ErrorCode::kCancelled);
}

TEST(BackgroundArguments, KeepTheFlagsOfThisInvocation) {
  EXPECT_THAT(
      background_arguments({"--config", "/x.yaml"}),
      testing::ElementsAre("serve", "--tcp", "optional", "--set", "server.idle_exit=10m", "--config", "/x.yaml"));
}

TEST(DetachedProcess, KnowsItsEnd) {
  std::string name = testing::TempDir() + "/llm-detached-XXXXXX";
  const std::filesystem::path directory = ::mkdtemp(name.data());
  auto process = DetachedProcess::start({"/bin/sh", {"-c", "echo to-log >&2; exec sleep 60"}, directory / "log"});
  ASSERT_TRUE(process) << process.error().message;
  EXPECT_TRUE(process->running());
  ::kill(process->pid(), SIGKILL);
  while (process->running()) ::usleep(1000);
  EXPECT_FALSE(DetachedProcess::start({"/bin/sh", {}, directory / "no" / "log"}));
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace llm::cli
