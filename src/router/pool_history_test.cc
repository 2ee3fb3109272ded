// Pools under random histories and under threads: what must hold whatever happens.
#include <algorithm>
#include <atomic>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <thread>

#include "router/pool.h"

namespace llm::router {
namespace {

using namespace std::chrono_literals;
using Clock = Pool::Clock;

// A random history of one pool; what must hold after every step is checked there.
class History {
 public:
  History(Policy policy, std::uint64_t seed) : random_(seed) {
    for (std::size_t i = 0; i < kReplicas; ++i) {
      replicas_.push_back(std::make_shared<Replica>(fmt::format("r{}", i),
                                                    ReplicaOptions{.breaker = {.failures = i % 2 == 0 ? 3U : 1000U}},
                                                    [this] { return now_; }));
    }
    pool_ = std::make_unique<Pool>(
        PoolSettings{.policy = policy, .outlier = {.window = 10, .most_ejected = 0.4}, .seed = seed}, replicas_,
        [this] { return now_; });
  }

  void run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
      step();
      check();
    }
    picks_.clear();
    check();
    for (const auto& replica : replicas_) {
      EXPECT_EQ(replica->tokens_in_flight(), 0);
      EXPECT_EQ(replica->requests_in_flight(), 0);
      replica->set_draining(false);
      replica->health(true, now_);
    }
    now_ += 24h;
    EXPECT_TRUE(pool_->pick({}));
  }

 private:
  static constexpr std::size_t kReplicas = 5;
  struct Held {
    Pick pick;
    std::int64_t tokens;
    bool probe;
  };

  std::uint64_t draw(std::uint64_t below) { return random_() % below; }

  void step() {
    switch (draw(10)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return pick();
      case 4:
      case 5:
      case 6:
      case 7:
        return end();
      case 8:
        now_ += std::chrono::milliseconds(draw(4) == 0 ? draw(60'000) : draw(100));
        return;
      default:
        auto& replica = *replicas_[draw(kReplicas)];
        draw(2) == 0 ? replica.set_draining(draw(3) == 0) : replica.health(draw(3) != 0, now_, "ill");
    }
  }

  void pick() {
    std::vector<bool> available;
    std::vector<bool> half_open;
    for (const auto& replica : replicas_) {
      available.push_back(replica->available(now_));
      half_open.push_back(replica->report(now_).breaker == BreakerState::kHalfOpen);
    }
    std::vector<const Replica*> tried;
    if (draw(3) == 0) tried.push_back(replicas_[draw(kReplicas)].get());
    std::vector<std::uint64_t> blocks;
    for (std::uint64_t i = 0; i < draw(6); ++i) blocks.push_back(draw(3) + i * 1000);
    const auto tokens = static_cast<std::int64_t>(1 + draw(100));
    auto pick = pool_->pick({.session = draw(4), .blocks = blocks, .tokens = tokens}, tried);
    if (!pick) {
      // Nobody was left: neither before nor after those that were ejected on the way.
      for (const auto& replica : replicas_) {
        EXPECT_TRUE(!replica->available(now_) || std::ranges::count(tried, replica.get()) == 1);
      }
      return;
    }
    const auto i = static_cast<std::size_t>(
        std::ranges::find(replicas_, &pick->replica(), [](const auto& r) { return r.get(); }) - replicas_.begin());
    EXPECT_TRUE(available[i]);
    EXPECT_EQ(std::ranges::count(tried, &pick->replica()), 0);
    if (half_open[i]) {
      for (const auto& held : picks_) EXPECT_FALSE(held.probe && &held.pick.replica() == &pick->replica());
    }
    picks_.push_back({std::move(*pick), tokens, half_open[i]});
  }

  void end() {
    if (picks_.empty()) return;
    const auto i = draw(picks_.size());
    auto& held = picks_[i];
    static constexpr ErrorCode kCodes[] = {ErrorCode::kEngineFailed, ErrorCode::kUnavailable, ErrorCode::kEngineTimeout,
                                           ErrorCode::kOverloaded, ErrorCode::kInvalidArgument};
    if (draw(3) == 0) held.pick.first_token(static_cast<double>(draw(1000)) / 100);
    const auto outcome = draw(9);
    if (outcome < 5) held.pick.failed({kCodes[outcome], "", {}, {}, 0});
    if (outcome == 5 || outcome == 6) held.pick.succeeded();
    std::swap(picks_[i], picks_.back());
    picks_.pop_back();
  }

  void check() {
    std::map<const Replica*, std::pair<std::int64_t, std::int64_t>> expected;
    for (const auto& held : picks_) {
      ++expected[&held.pick.replica()].first;
      expected[&held.pick.replica()].second += held.tokens;
    }
    std::size_t ejected = 0;
    for (const auto& replica : replicas_) {
      EXPECT_EQ(replica->requests_in_flight(), expected[replica.get()].first);
      EXPECT_EQ(replica->tokens_in_flight(), expected[replica.get()].second);
      ejected += replica->ejected(now_) ? 1 : 0;
      const double ready = replica->readiness(now_);
      EXPECT_TRUE(ready >= Replica::kLeastReadiness && ready <= 1);
    }
    EXPECT_LE(ejected, 2U);  // 0.4 of five
  }

  std::mt19937_64 random_;
  Clock::time_point now_{24h};
  std::vector<std::shared_ptr<Replica>> replicas_;
  std::unique_ptr<Pool> pool_;
  std::vector<Held> picks_;
};

TEST(PoolHistories, WhatMustAlwaysHold) {
  const std::uint64_t first_seed = std::random_device{}();
  for (const auto& [policy, name] : json::EnumNames<Policy>::values) {
    for (std::uint64_t seed = first_seed; seed < first_seed + 20; ++seed) {
      SCOPED_TRACE(fmt::format("policy {}, seed {}", name, seed));
      History(policy, seed).run(2000);
      if (HasFailure()) return;
    }
  }
}

// Under ThreadSanitizer this shows that nothing is read and written at once; everywhere, that nothing is lost.
TEST(PoolThreads, CountsReturnToZero) {
  for (const auto& [policy, name] : json::EnumNames<Policy>::values) {
    std::vector<std::shared_ptr<Replica>> replicas;
    for (int i = 0; i < 6; ++i) {
      replicas.push_back(std::make_shared<Replica>(fmt::format("r{}", i),
                                                   ReplicaOptions{.breaker = {.failures = 3, .open_for = {1}}}));
    }
    Pool pool({.policy = policy, .outlier = {.window = 10, .eject_for = {1}}}, replicas);
    std::atomic<std::uint64_t> picked{0};
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937_64 random(t);
        std::vector<std::uint64_t> blocks(8);
        for (int i = 0; i < 3000; ++i) {
          for (auto& block : blocks) block = random() % 50;
          auto pick = pool.pick({.session = random() % 9, .blocks = blocks, .tokens = 5});
          if (!pick) continue;
          ++picked;
          pick->first_token(0.01);
          if (random() % 4 == 0) {
            pick->failed({ErrorCode::kEngineFailed, "", {}, {}, 0});
          } else if (random() % 4 != 0) {
            pick->succeeded();
          }
          if (random() % 64 == 0) replicas[random() % 6]->set_draining(random() % 4 == 0);
          if (random() % 64 == 0) replicas[random() % 6]->health(random() % 4 != 0, Clock::now(), "ill");
          (void)pool.next_available();
        }
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_GT(picked, 0U) << name;
    for (const auto& replica : replicas) {
      EXPECT_EQ(replica->requests_in_flight(), 0) << name;
      EXPECT_EQ(replica->tokens_in_flight(), 0) << name;
    }
  }
}

// Of many that want to probe at the same moment, one does.
TEST(PoolThreads, OneProbe) {
  Clock::time_point now{1h};
  const auto replica = std::make_shared<Replica>("r", ReplicaOptions{}, [&] { return now; });
  Pool pool({}, {replica}, [&] { return now; });
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 3; ++i) replica->failed(now, false);
    now += 60s;
    std::atomic<int> probes{0};
    std::atomic<int> ready{0};
    std::vector<std::thread> threads;
    std::vector<std::optional<Pick>> picks(3);
    for (std::size_t t = 0; t < picks.size(); ++t) {
      threads.emplace_back([&, t] {
        ++ready;
        while (ready < 3) {
        }
        picks[t] = pool.pick({});
        if (picks[t]) ++probes;
      });
    }
    for (auto& thread : threads) thread.join();
    ASSERT_EQ(probes, 1);
    for (auto& pick : picks) {
      if (pick) pick->succeeded();
    }
  }
}

}  // namespace
}  // namespace llm::router
