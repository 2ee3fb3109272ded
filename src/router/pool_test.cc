#include "router/pool.h"

#include <algorithm>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>

namespace llm::router {
namespace {

using namespace std::chrono_literals;
using Clock = Pool::Clock;

class PoolTest : public ::testing::Test {
 protected:
  Pool::Now clock() {
    return [this] { return now_; };
  }
  Pool& make(std::size_t count, PoolSettings settings, ReplicaOptions options = {}) {
    std::vector<std::shared_ptr<Replica>> replicas;
    for (std::size_t i = 0; i < count; ++i) {
      replicas.push_back(std::make_shared<Replica>(fmt::format("r{}", i), options, clock()));
    }
    return make(std::move(replicas), std::move(settings));
  }
  Pool& make(std::vector<std::shared_ptr<Replica>> replicas, PoolSettings settings) {
    settings.seed = 42;
    pool_ = std::make_unique<Pool>(std::move(settings), std::move(replicas), clock());
    now_ += 1h;  // nobody starts slowly
    return *pool_;
  }
  std::shared_ptr<Replica> at(std::size_t i) { return pool_->replicas()[i]; }
  std::size_t index_of(const Replica& replica) const {
    const auto& all = pool_->replicas();
    return static_cast<std::size_t>(std::ranges::find(all, &replica, [](const auto& held) { return held.get(); }) -
                                    all.begin());
  }
  // Which replica gets a request that ends at once; -1: none.
  int once(const Hints& hints = {}) {
    auto pick = pool_->pick(hints);
    if (!pick) return -1;
    pick->succeeded();
    return static_cast<int>(index_of(pick->replica()));
  }
  std::vector<int> counts(int picks, const Hints& hints = {}) {
    std::vector<int> out(pool_->replicas().size());
    for (int i = 0; i < picks; ++i) ++out.at(static_cast<std::size_t>(once(hints)));
    return out;
  }
  void fail_times(std::size_t i, int times) {
    for (int n = 0; n < times; ++n) at(i)->failed(now_, false);
  }

  Clock::time_point now_{24h};
  std::unique_ptr<Pool> pool_;
};

TEST_F(PoolTest, OneAndTwoReplicas) {
  make(1, {});
  EXPECT_EQ(once(), 0);
  const auto held = pool_->pick({.tokens = 1000});
  EXPECT_EQ(once(), 0);

  make(2, {});
  auto busy = pool_->pick({.tokens = 1000});
  const int other = busy->replica().key() == "r0" ? 1 : 0;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(once(), other);
}

TEST_F(PoolTest, LeastLoadedCountsTokensThenRequests) {
  make(2, {});
  std::vector<Pick> held;
  const auto hold = [&](std::size_t i, std::int64_t tokens) {
    ASSERT_EQ(at(i)->began(tokens, now_), Replica::Admitted::kYes);
    held.emplace_back(at(i), tokens);
  };
  hold(0, 100);
  for (int i = 0; i < 5; ++i) hold(1, 10);
  EXPECT_EQ(once(), 1);  // 50 tokens against 100
  hold(1, 50);
  EXPECT_EQ(once(), 0);  // 100 each, but one request against six
}

TEST_F(PoolTest, LeastLoadedIsEven) {
  make(16, {});
  std::vector<Pick> held;
  for (int i = 0; i < 1600; ++i) held.push_back(*pool_->pick({.tokens = 10}));
  for (std::size_t i = 0; i < 16; ++i) {
    EXPECT_GE(at(i)->requests_in_flight(), 95) << i;
    EXPECT_LE(at(i)->requests_in_flight(), 105) << i;
  }
  held.clear();
  for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(at(i)->tokens_in_flight(), 0);
}

TEST_F(PoolTest, WeightsScaleTheLoad) {
  make(2, {.places = {{.weight = 3}, {.weight = 1}}});
  std::vector<Pick> held;
  for (int i = 0; i < 400; ++i) held.push_back(*pool_->pick({}));
  EXPECT_NEAR(static_cast<double>(at(0)->requests_in_flight()), 300, 2);
}

TEST_F(PoolTest, TriedAndUnavailableAreLeftOut) {
  for (const auto& [policy, name] : json::EnumNames<Policy>::values) {
    make(4, {.policy = policy});
    fail_times(1, 3);
    at(2)->set_draining(true);
    const Replica* tried[] = {at(0).get()};
    const std::uint64_t blocks[] = {1, 2, 3};
    for (int i = 0; i < 20; ++i) {
      const auto pick = pool_->pick({.session = 7, .blocks = blocks}, tried);
      ASSERT_TRUE(pick) << name;
      EXPECT_EQ(pick->replica().key(), "r3") << name;
    }
    at(3)->health(false, now_, "");
    EXPECT_FALSE(pool_->pick({}, tried)) << name;
    EXPECT_TRUE(pool_->pick({})) << name;
  }
}

TEST_F(PoolTest, TellsWhenSomebodyMayBeAskedAgain) {
  make(3, {});
  EXPECT_FALSE(pool_->next_available());
  fail_times(0, 3);
  now_ += 10s;
  fail_times(1, 3);
  EXPECT_FALSE(pool_->next_available());
  at(2)->set_draining(true);
  EXPECT_EQ(pool_->next_available(), now_ + 50s);
  at(0)->set_draining(true);
  EXPECT_EQ(pool_->next_available(), now_ + 60s);
  at(1)->health(false, now_, "");
  EXPECT_FALSE(pool_->next_available());
  EXPECT_FALSE(pool_->pick({}));
}

TEST_F(PoolTest, RoundRobin) {
  make(3, {.policy = Policy::kRoundRobin});
  EXPECT_EQ(counts(30), (std::vector{10, 10, 10}));
  at(1)->set_draining(true);
  EXPECT_EQ(counts(30), (std::vector{15, 0, 15}));
}

TEST_F(PoolTest, WeightedIsInProportion) {
  make(3, {.policy = Policy::kWeighted, .places = {{.weight = 1}, {.weight = 2}, {.weight = 7}}});
  const auto got = counts(10'000);
  EXPECT_NEAR(got[0], 1000, 120);
  EXPECT_NEAR(got[1], 2000, 160);
  EXPECT_NEAR(got[2], 7000, 180);
}

TEST_F(PoolTest, SessionsStay) {
  make(8, {.policy = Policy::kSession});
  std::map<std::uint64_t, int> home;
  for (std::uint64_t session = 1; session <= 2000; ++session) home[session] = once({.session = session * 77});
  std::vector<int> load(8);
  for (const auto& [session, replica] : home) {
    EXPECT_EQ(once({.session = session * 77}), replica);
    ++load[static_cast<std::size_t>(replica)];
  }
  for (const int sessions : load) EXPECT_NEAR(sessions, 250, 60);

  // One goes: only its own sessions move. It comes back: they return.
  at(3)->set_draining(true);
  for (const auto& [session, replica] : home) {
    const int now = once({.session = session * 77});
    EXPECT_EQ(now == replica, replica != 3) << session;
  }
  at(3)->set_draining(false);
  now_ += 1h;
  for (const auto& [session, replica] : home) EXPECT_EQ(once({.session = session * 77}), replica);

  // Another pool of one more replica: few move, all of them to the new one.
  auto replicas = pool_->replicas();
  replicas.push_back(std::make_shared<Replica>("r8", ReplicaOptions{}, clock()));
  make(replicas, {.policy = Policy::kSession});
  int moved = 0;
  for (const auto& [session, replica] : home) {
    const int now = once({.session = session * 77});
    if (now == replica) continue;
    EXPECT_EQ(now, 8);
    ++moved;
  }
  EXPECT_NEAR(moved, 2000 / 9, 60);
}

TEST_F(PoolTest, SessionsByWeight) {
  make(2, {.policy = Policy::kSession, .places = {{.weight = 1}, {.weight = 3}}});
  int second = 0;
  for (std::uint64_t session = 1; session <= 4000; ++session)
    second += once({.session = session * 0x9e3779b97f4a7c15U});
  EXPECT_NEAR(second, 3000, 120);
}

TEST_F(PoolTest, SessionsComeBackSlowlyAndStay) {
  make(2, {.policy = Policy::kSession}, {.slow_start = 10s});
  std::vector<std::uint64_t> of_first;
  for (std::uint64_t session = 1; of_first.size() < 500; ++session) {
    if (once({.session = session * 977}) == 0) of_first.push_back(session * 977);
  }
  at(0)->set_draining(true);
  at(0)->set_draining(false);
  std::set<std::uint64_t> back;
  for (const auto step : {1s, 4s, 4s, 1s}) {
    now_ += step;
    const std::size_t before = back.size();
    for (const auto session : of_first) {
      const bool home = once({.session = session}) == 0;
      EXPECT_TRUE(home || !back.contains(session));
      if (home) back.insert(session);
    }
    EXPECT_GT(back.size(), before);
  }
  EXPECT_EQ(back.size(), of_first.size());
}

TEST_F(PoolTest, LoadIsBounded) {
  for (const auto policy : {Policy::kSession, Policy::kPrefix}) {
    make(4, {.policy = policy, .bounded_load = 1.25});
    std::vector<Pick> held;
    const std::uint64_t blocks[] = {11, 12, 13};
    const Hints hints{.session = 5, .blocks = blocks, .tokens = 10};
    for (int i = 0; i < 400; ++i) {
      double sum = 10;
      std::vector<std::int64_t> before;
      for (std::size_t r = 0; r < 4; ++r) before.push_back(at(r)->tokens_in_flight());
      for (const auto tokens : before) sum += static_cast<double>(tokens);
      held.push_back(*pool_->pick(hints));
      const auto chosen = before[index_of(held.back().replica())];
      const double slack = static_cast<double>(std::ranges::min(before)) + 2 * 10;
      EXPECT_LE(static_cast<double>(chosen), std::max(1.25 * sum / 4, slack));
      if (i < 3) EXPECT_EQ(index_of(held.back().replica()), index_of(held.front().replica()));  // nobody hurries away
    }
    for (std::size_t r = 0; r < 4; ++r) EXPECT_GT(at(r)->requests_in_flight(), 20);  // 126 of each other
  }
}

class PrefixTest : public PoolTest {
 protected:
  using Prompt = std::vector<std::uint64_t>;
  static Prompt extend(Prompt before, std::uint64_t seed, std::size_t blocks) {
    std::mt19937_64 random(seed);
    for (std::size_t i = 0; i < blocks; ++i) before.push_back(random());
    return before;
  }
};

TEST_F(PrefixTest, AConversationStaysWithItsCache) {
  make(4, {.policy = Policy::kPrefix});
  std::map<int, Prompt> conversations;
  std::map<int, int> home;
  for (int turn = 0; turn < 10; ++turn) {
    for (int c = 0; c < 40; ++c) {
      conversations[c] = extend(conversations[c], static_cast<std::uint64_t>(c * 100 + turn), 6);
      const int replica = once({.blocks = conversations[c]});
      if (turn == 0) home[c] = replica;
      EXPECT_EQ(replica, home[c]) << "conversation " << c << " turn " << turn;
    }
  }
  std::vector<int> load(4);
  for (const auto& [c, replica] : home) ++load[static_cast<std::size_t>(replica)];
  for (const int conversations_there : load) EXPECT_NEAR(conversations_there, 10, 3);
}

TEST_F(PrefixTest, ASharedBeginningDoesNotPileUpOnOne) {
  make(4, {.policy = Policy::kPrefix});
  const Prompt system = extend({}, 1, 20);
  std::vector<int> load(4);
  for (std::uint64_t c = 0; c < 100; ++c)
    ++load[static_cast<std::size_t>(once({.blocks = extend(system, 100 + c, 4)}))];
  for (const int conversations : load) EXPECT_GE(conversations, 15);
}

TEST_F(PrefixTest, TheNextBestWhenTheBestIsAwayOrBusy) {
  make(3, {.policy = Policy::kPrefix});
  const Prompt prompt = extend({}, 1, 10);
  const int best = once({.blocks = prompt});
  const int second = [&] {
    const Replica* tried[] = {at(static_cast<std::size_t>(best)).get()};
    auto pick = pool_->pick({.blocks = std::span(prompt).first(6)}, tried);
    return static_cast<int>(index_of(pick->replica()));
  }();
  const Prompt next = extend(prompt, 2, 2);
  at(static_cast<std::size_t>(best))->set_draining(true);
  EXPECT_EQ(once({.blocks = std::span(prompt).first(7)}), second);
  at(static_cast<std::size_t>(best))->set_draining(false);
  now_ += 1h;
  std::vector<Pick> held;
  ASSERT_EQ(at(static_cast<std::size_t>(second))->began(1000, now_), Replica::Admitted::kYes);
  held.emplace_back(at(static_cast<std::size_t>(second)), 1000);
  EXPECT_NE(once({.blocks = next}), second);
}

TEST_F(PrefixTest, WhoCameBackHasForgotten) {
  make(2, {.policy = Policy::kPrefix}, {.slow_start = 0ms});
  const Prompt prompt = extend({}, 1, 10);
  const auto first = static_cast<std::size_t>(once({.blocks = prompt}));
  at(first)->health(false, now_, "gone");
  EXPECT_EQ(once({.blocks = prompt}), static_cast<int>(1 - first));
  at(first)->health(true, now_);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(once({.blocks = prompt}), static_cast<int>(1 - first));
}

TEST_F(PrefixTest, MoreReplicasThanBits) {
  make(100, {.policy = Policy::kPrefix});
  const Prompt prompt = extend({}, 1, 10);
  const int first = once({.blocks = prompt});
  for (int i = 0; i < 10; ++i) EXPECT_EQ(once({.blocks = prompt}) % 64, first % 64);
}

TEST_F(PrefixTest, CountsTheHits) {
  observe::GatewayMetrics gateway("test");
  RouterMetrics metrics(gateway);
  make(2, {.policy = Policy::kPrefix, .metrics = &metrics});
  const Prompt prompt = extend({}, 1, 10);
  once({.blocks = prompt});
  once({.blocks = extend(prompt, 2, 5)});
  const std::string text = gateway.render();
  EXPECT_NE(text.find("llm_mcp_router_prompt_blocks_total 25"), std::string::npos) << text;
  EXPECT_NE(text.find("llm_mcp_router_known_prompt_blocks_total 10"), std::string::npos);
}

TEST_F(PoolTest, LatencyTriesTheNewAndPrefersTheFast) {
  make(3, {.policy = Policy::kLatency});
  at(0)->first_token(0.1);
  at(1)->first_token(1.0);
  EXPECT_EQ(once(), 2);  // nobody has tried it
  at(2)->first_token(0.5);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(once(), 0);
  std::vector<Pick> held;
  for (int i = 0; i < 5; ++i) held.push_back(*pool_->pick({}));
  // 0.1 × 5 against 0.5 × 1: the load counts.
  EXPECT_GE(at(2)->requests_in_flight(), 0);
  EXPECT_EQ(at(0)->requests_in_flight() + at(2)->requests_in_flight(), 5);
  held.clear();
  now_ += Replica::kLatencyForgets + 1s;
  at(0)->first_token(0.1);
  EXPECT_NE(once(), 0);  // the others may have become better
}

TEST_F(PoolTest, CheapestAndFirst) {
  std::vector<std::shared_ptr<Replica>> replicas;
  for (const double cost : {5.0, 1.0, 1.0, 9.0}) {
    replicas.push_back(
        std::make_shared<Replica>(fmt::format("r{}", replicas.size()), ReplicaOptions{.cost = cost}, clock()));
  }
  make(replicas, {.policy = Policy::kCost});
  auto got = counts(100);
  EXPECT_EQ(got[0] + got[3], 0);
  auto held = pool_->pick({.tokens = 100});
  const int other = held->replica().key() == "r1" ? 2 : 1;
  EXPECT_EQ(once(), other);
  at(1)->set_draining(true);
  at(2)->set_draining(true);
  EXPECT_EQ(once(), 0);

  make(3, {.policy = Policy::kPriority, .places = {{.priority = 2}, {.priority = 1}, {.priority = 1}}});
  got = counts(100);
  EXPECT_EQ(got[0], 0);
  EXPECT_GT(got[1], 20);
  EXPECT_GT(got[2], 20);
  fail_times(1, 3);
  fail_times(2, 3);
  EXPECT_EQ(once(), 0);
}

TEST_F(PoolTest, AFullReplicaIsTheLastOneAsked) {
  for (const auto policy : {Policy::kRoundRobin, Policy::kLeastLoaded, Policy::kPriority}) {
    make(2, {.policy = policy});
    at(0)->overloaded(now_, 5s);
    EXPECT_EQ(counts(10), (std::vector{0, 10}));
    at(1)->set_draining(true);
    EXPECT_EQ(once(), 0);
    at(1)->set_draining(false);
    at(1)->overloaded(now_, 5s);
    EXPECT_NE(once(), -1);
  }
}

TEST_F(PoolTest, SlowStartGivesLess) {
  for (const auto policy : {Policy::kRoundRobin, Policy::kWeighted, Policy::kCost}) {
    make(2, {.policy = policy}, {.slow_start = 100s});
    at(0)->health(false, now_, "");
    at(0)->health(true, now_);
    const auto early = counts(2000);
    EXPECT_GT(early[0], 20);
    EXPECT_LT(early[0], 300);
    now_ += 100s;
    EXPECT_NEAR(counts(2000)[0], 1000, 130);
  }
}

TEST_F(PoolTest, OutliersAreEjectedButNeverTooMany) {
  make(4, {.policy = Policy::kRoundRobin, .outlier = {.error_rate = 0.5, .window = 10, .most_ejected = 0.5}},
       {.breaker = {.failures = 1000}});
  for (std::size_t i = 0; i < 3; ++i) fail_times(i, 10);
  const auto ejected = [&] {
    int n = 0;
    for (const auto& replica : pool_->replicas()) n += replica->ejected(now_) ? 1 : 0;
    return n;
  };
  for (int i = 0; i < 20; ++i) EXPECT_NE(once(), -1);
  EXPECT_EQ(ejected(), 2);
  now_ += 30s;
  EXPECT_EQ(ejected(), 0);

  make(1, {}, {.breaker = {.failures = 1000}});
  fail_times(0, 100);
  EXPECT_EQ(once(), 0);
}

TEST_F(PoolTest, TheSameSeedMakesTheSameChoices) {
  const auto run = [&](std::uint64_t seed) {
    std::vector<std::shared_ptr<Replica>> replicas;
    for (int i = 0; i < 8; ++i)
      replicas.push_back(std::make_shared<Replica>(fmt::format("r{}", i), ReplicaOptions{}, clock()));
    Pool pool({.seed = seed}, replicas, clock());
    std::vector<Pick> held;
    std::string keys;
    for (int i = 0; i < 50; ++i) {
      held.push_back(*pool.pick({}));
      keys += held.back().replica().key();
    }
    return keys;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

}  // namespace
}  // namespace llm::router
