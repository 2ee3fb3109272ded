#include "router/health_checks.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "net/scripted_engine.h"

namespace llm::router {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

std::shared_ptr<const engines::EngineSpec> provider_at(const net::Endpoint& endpoint) {
  engines::EngineSpec spec;
  spec.key = "there/model";
  spec.external.emplace();
  spec.external->base_url = fmt::format("http://127.0.0.1:{}/v1", endpoint.port);
  spec.external->health_path = "/health";
  spec.external->api_key = "s3cret";
  return std::make_shared<const engines::EngineSpec>(std::move(spec));
}

class HealthChecksTest : public net::HttpClientTest {
 public:
  HealthChecks make(HealthSettings settings = {}) {
    return HealthChecks(settings, loop, client, log_, [this] { return known_; });
  }
  std::shared_ptr<Replica> add(std::shared_ptr<const engines::EngineSpec> spec) {
    known_.push_back({std::make_shared<Replica>(fmt::format("r{}", known_.size())), std::move(spec)});
    return known_.back().replica;
  }
  static Replica::Report report(const Replica& replica) { return replica.report(Replica::Clock::now()); }

  // One question is taken and answered so; what was asked.
  Task<void> answer(std::string text, std::string* asked = nullptr) {
    auto peer = co_await engine.accept();
    const std::string head = co_await peer.read_head();
    if (asked) *asked = head;
    co_await peer.send(std::move(text));
    co_await peer.read_to_end();
  }
  static std::string http(int status, std::string_view type = "application/json") {
    return fmt::format("HTTP/1.1 {} X\r\nContent-Type: {}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}",
                       status, type);
  }
  Replica::Report after(HealthChecks& checks, const std::string& text) {
    play(checks.check_all(), answer(text));
    return report(*known_[0].replica);
  }

  observe::Log log_;
  std::vector<KnownReplica> known_;
};

TEST_F(HealthChecksTest, AsksOncePerServerWithItsKey) {
  auto checks = make();
  const auto first = add(provider_at(endpoint));
  const auto second = add(provider_at(endpoint));
  std::string asked;
  play(checks.check_all(), answer(http(401), &asked));  // a second question would wait for ever
  EXPECT_THAT(asked, HasSubstr("GET /v1/health HTTP/1.1\r\n"));
  EXPECT_THAT(asked, HasSubstr("Bearer s3cret\r\n"));
  for (const auto& replica : {first, second}) {
    EXPECT_FALSE(replica->available(Replica::Clock::now()));
    EXPECT_THAT(report(*replica).ill_because, HasSubstr("status 401: is the key right?"));
    EXPECT_THAT(report(*replica).ill_because, Not(HasSubstr("s3cret")));
  }
}

TEST_F(HealthChecksTest, WrongAnswersCountAtOnceAndGoodOnesToo) {
  auto checks = make();
  add(provider_at(endpoint));
  EXPECT_TRUE(after(checks, http(200)).well);
  EXPECT_FALSE(after(checks, http(500)).well);
  EXPECT_TRUE(after(checks, http(204, "text/plain")).well);
  const auto page = after(checks, http(200, "Text/HTML; charset=utf-8"));
  EXPECT_FALSE(page.well);
  EXPECT_THAT(page.ill_because, HasSubstr("another service?"));
  EXPECT_TRUE(after(checks, http(200)).well);
  EXPECT_EQ(report(*known_[0].replica).ill_because, "");
}

TEST_F(HealthChecksTest, ABrokenAnswerCountsTheSecondTime) {
  auto checks = make();
  add(provider_at(endpoint));
  const std::string cut = "HTTP/1.1 200 OK\r\nContent-Len";
  const auto broken = [&] {
    play(checks.check_all(), [](net::RawListener* listener, std::string text) -> Task<void> {
      auto peer = co_await listener->accept();
      co_await peer.read_head();
      co_await peer.send(text);
      peer.close();
    }(&engine, cut));
    return report(*known_[0].replica).well;
  };
  EXPECT_TRUE(broken());
  EXPECT_TRUE(after(checks, http(200)).well);
  EXPECT_TRUE(broken());
  EXPECT_FALSE(broken());
}

TEST_F(HealthChecksTest, SilenceCountsTheSecondTime) {
  auto checks = make({.timeout = {50}});
  add(provider_at(endpoint));
  EXPECT_TRUE(after(checks, "").well);
  const auto silent = after(checks, "");
  EXPECT_FALSE(silent.well);
  EXPECT_THAT(silent.ill_because, HasSubstr("no answer within 50 ms"));
}

TEST_F(HealthChecksTest, NobodyThere) {
  auto checks = make();
  const int fd = net::listen_tcp("127.0.0.1", 0).value();
  const net::Endpoint gone{.host = "127.0.0.1", .port = net::local_port(fd)};
  ::close(fd);
  add(provider_at(gone));
  run_task(loop, checks.check_all());
  EXPECT_FALSE(report(*known_[0].replica).well);
  EXPECT_NE(report(*known_[0].replica).ill_because, "");
}

TEST_F(HealthChecksTest, OwnEnginesAreNotAsked) {
  auto checks = make();
  add(std::make_shared<const engines::EngineSpec>());
  engines::EngineSpec managed;
  managed.vllm.emplace();
  add(std::make_shared<const engines::EngineSpec>(managed));
  managed.vllm->runtime = engines::VllmRuntime::kRemote;
  managed.vllm->base_url = "http://127.0.0.1:8000/v1";
  const auto question = health_question(managed);
  ASSERT_TRUE(question && *question);
  EXPECT_EQ((*question)->endpoint.base_path + (*question)->path, "/health");
  run_task(loop, checks.check_all());
  EXPECT_TRUE(report(*known_[0].replica).well);
  EXPECT_TRUE(report(*known_[1].replica).well);
}

TEST_F(HealthChecksTest, WrongSettingsAreAReason) {
  auto checks = make();
  engines::EngineSpec spec;
  spec.external.emplace();
  spec.external->base_url = "nonsense";
  add(std::make_shared<const engines::EngineSpec>(spec));
  run_task(loop, checks.check_all());
  EXPECT_NE(report(*known_[0].replica).ill_because, "");
}

TEST_F(HealthChecksTest, AsksAgainAndAgainUntilItIsStopped) {
  auto checks = make({.interval = {1}});
  add(provider_at(endpoint));
  checks.start();
  const auto three = [](HealthChecksTest* self) -> Task<void> {
    for (int i = 0; i < 3; ++i) co_await self->answer(http(200));
  };
  run_task(loop, three(this));
  run_task(loop, checks.stop());
}

TEST_F(HealthChecksTest, StopEndsAQuestionUnderWay) {
  auto checks = make({.interval = {1}, .timeout = {3'600'000}});
  add(provider_at(endpoint));
  checks.start();
  const auto stop_in_the_middle = [](net::RawListener* listener, HealthChecks* running) -> Task<void> {
    auto peer = co_await listener->accept();
    co_await peer.read_head();
    co_await running->stop();
  };
  run_task(loop, stop_in_the_middle(&engine, &checks));
  EXPECT_TRUE(report(*known_[0].replica).well);
}

TEST_F(HealthChecksTest, AnIntervalOfZeroAsksNobody) {
  auto checks = make({.interval = {0}});
  checks.start();
  run_task(loop, checks.stop());
}

}  // namespace
}  // namespace llm::router
