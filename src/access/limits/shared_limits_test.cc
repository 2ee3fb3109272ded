// Several gateways over one PostgreSQL: the promises hold over all of them, also when one dies or the database is away.
#include "access/limits/shared_limits.h"

#include <chrono>
#include <gtest/gtest.h>
#include <random>
#include <thread>
#include <vector>

#include "access/limits/limiter_fixture.h"
#include "access/limits/limiter_history.h"
#include "async/run_task.h"
#include "async/task_group.h"
#include "store/postgres_under_test.h"
#include "store/usage_tables.h"

namespace llm::access {
namespace {

// Of a gateway that stood still for a while and does not know.
std::atomic<std::int64_t> stood_still_ns{0};

// The database's clock is the real one, so the limiters' is too.
std::int64_t real_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return History::last_now() =
             std::chrono::duration_cast<std::chrono::nanoseconds>(now).count() + stood_still_ns.load();
}

struct Gateway {
  Gateway(const store::DatabaseSettings& settings, const std::string& name)
      : database(std::move(*store::Database::open(settings))),
        limiter(std::make_unique<Limiter>(LimiterSettings{}, database.get(), name, real_ns)) {}
  std::unique_ptr<store::Database> database;
  std::unique_ptr<Limiter> limiter;
};

Result<Reservation> reserve(Gateway& gateway, const Principal& principal, const Demand& demand = {}) {
  Loop loop("test");
  Result<Reservation> out{std::unexpect, Error{}};
  const auto ask = [](Limiter& of, Principal who, Demand what, Loop& on, Result<Reservation>& into) -> Task<void> {
    into = co_await of.reserve(who, "m", what, nullptr, on, {});
  };
  run_task(loop, ask(*gateway.limiter, principal, demand, loop, out));
  return out;
}

class SharedLimitsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    postgres_ = store::PostgresUnderTest::shared();
    if (postgres_ == nullptr) GTEST_SKIP() << store::PostgresUnderTest::kMissing;
    settings_ = postgres_->new_database();
    settings_.connections = 4;
    settings_.busy_timeout = std::chrono::milliseconds(2'000);
  }
  Gateway gateway(const std::string& name) { return {settings_, name}; }
  std::string name() const {
    return settings_.url.substr(settings_.url.find("@/") + 2, settings_.url.find('?') - settings_.url.find("@/") - 2);
  }
  std::int64_t number(const std::string& sql) { return std::atoll(postgres_->execute(sql, name()).c_str()); }
  // As if its heart had stopped long ago.
  void forget_heartbeat(const std::string& gateway) {
    postgres_->execute("UPDATE gateways SET beat = beat - 60000 WHERE name = '" + gateway + "'", name());
  }
  std::int64_t leased(const std::string& quota) {
    return number("SELECT coalesce(sum(leased), 0) FROM shared_quotas WHERE name = '" + quota + "'");
  }

  store::PostgresUnderTest* postgres_ = nullptr;
  store::DatabaseSettings settings_;
};

TEST_F(SharedLimitsTest, SlicesSaveRoundTrips) {
  Gateway one = gateway("g1");
  const Principal a = key_of("a", {.requests = per_minute(6'000), .requests_per_day = 100'000});
  EXPECT_FALSE(one.limiter->try_reserve(a, "m", {}, nullptr)) << "nothing is leased yet";
  int asked = 0;
  for (int i = 0; i < 300; ++i) {
    if (one.limiter->try_reserve(a, "m", {}, nullptr)) continue;
    ++asked;
    auto done = reserve(one, a);
    ASSERT_TRUE(done) << done.error().message;
    done->settle(0, 0);
  }
  EXPECT_LT(asked, 150);
}

TEST_F(SharedLimitsTest, SmallLimitsAreExactOverAllGateways) {
  Gateway one = gateway("g1");
  Gateway two = gateway("g2");
  const Principal a =
      key_of("a", {.requests = Rate{.count = 5, .window = json::Duration{86'400'000}}, .requests_per_month = 100});
  int granted = 0;
  for (int i = 0; i < 10; ++i) {
    auto done = reserve(i % 2 == 0 ? one : two, a);
    if (!done) {
      EXPECT_EQ(done.error().message.substr(0, 41), "key \"a\" is limited to 5 requests per day;");
      continue;
    }
    ++granted;
    done->settle(0, 0);
  }
  EXPECT_EQ(granted, 5);
  // Given back, it is there for the other.
  const Principal b = key_of("b", {.requests = Rate{.count = 1, .window = json::Duration{86'400'000}}});
  (void)reserve(one, b);
  EXPECT_FALSE(reserve(two, b));
  ASSERT_TRUE(one.limiter->maintain());
  Gateway three = gateway("g3");
  EXPECT_TRUE(reserve(three, b));
}

TEST_F(SharedLimitsTest, QuotasAreExactOverAllGateways) {
  Gateway one = gateway("g1");
  Gateway two = gateway("g2");
  const Principal a = key_of("a", {.tokens_per_month = 1'000});
  std::int64_t used = 0;
  for (int i = 0; i < 100; ++i) {
    auto done = reserve(i % 2 == 0 ? one : two, a, {.input_tokens = 20, .output_tokens = 10});
    if (!done) continue;
    done->settle(20, i % 3);
    used += 20 + i % 3;
  }
  EXPECT_LE(used, 1'000);
  one.limiter->release_all();
  two.limiter->release_all();
  EXPECT_EQ(leased("key:a:tokens_per_month"), used) << "not a token granted twice, none lost";
  Gateway three = gateway("g3");
  auto done = reserve(three, a, {.input_tokens = 1'000 - used});
  ASSERT_TRUE(done) << done.error().message;
  done->settle(2'000, 0);  // a debt: the truth counts
  ASSERT_TRUE(three.limiter->maintain());
  EXPECT_EQ(leased("key:a:tokens_per_month"), used + 2'000);
  EXPECT_FALSE(reserve(two, a, {.input_tokens = 1}));
}

TEST_F(SharedLimitsTest, AQuotaStartsFromTheUsageBefore) {
  Gateway one = gateway("g1");
  Gateway two = gateway("g2");
  const std::int64_t today = real_ns() / 86'400'000'000'000;
  ASSERT_TRUE(one.database->write([&](store::Session& session) {
    return store::add_usage(
        session, "batch",
        {{.day = today, .project = "p", .key = "a", .model = "m", .requests = 7, .input_tokens = 70}});
  }));
  const Principal a = key_of("a", {.requests_per_month = 10}, {.tokens_per_day = 100}, "p");
  EXPECT_FALSE(reserve(one, a, {.input_tokens = 31}));
  for (int i = 0; i < 3; ++i) {
    auto done = reserve(i % 2 == 0 ? one : two, a, {.input_tokens = 10});
    ASSERT_TRUE(done) << done.error().message;
    done->settle(10, 0);
    one.limiter->release_all();
    two.limiter->release_all();
  }
  EXPECT_FALSE(reserve(two, a));
  EXPECT_EQ(leased("key:a:requests_per_month"), 10);
  EXPECT_EQ(leased("project:p:tokens_per_day"), 100);
}

TEST_F(SharedLimitsTest, ConcurrentRequestsAndADeadGateway) {
  auto one = std::make_unique<Gateway>(gateway("g1"));
  Gateway two = gateway("g2");
  const Principal a = key_of("a", {.concurrent = 3});
  ASSERT_TRUE(one->limiter->maintain());
  ASSERT_TRUE(two.limiter->maintain());
  auto first = reserve(*one, a);
  auto second = reserve(*one, a);
  auto third = reserve(two, a);
  ASSERT_TRUE(first && second && third);
  EXPECT_FALSE(reserve(two, a));
  EXPECT_FALSE(reserve(*one, a));
  third = Reservation();
  ASSERT_TRUE(two.limiter->maintain());
  EXPECT_EQ(number("SELECT sum(held) FROM slots"), 2);
  // Dies with two running: nobody gives them back.
  one->limiter.reset();
  Gateway three = gateway("g3");
  auto fourth = reserve(three, a);
  EXPECT_TRUE(fourth);
  Gateway four = gateway("g4");
  EXPECT_FALSE(reserve(four, a));
  forget_heartbeat("g1");
  Gateway five = gateway("g5");
  auto fifth = reserve(five, a);
  EXPECT_TRUE(fifth) << "its slots are free again";
  EXPECT_EQ(number("SELECT sum(held) FROM slots"), 2);
}

TEST_F(SharedLimitsTest, AGatewayThatWasTakenForDeadCorrectsItself) {
  Gateway one = gateway("g1");
  const Principal a = key_of("a", {.concurrent = 2});
  auto first = reserve(one, a);
  auto second = reserve(one, a);
  ASSERT_TRUE(first && second);
  second = Reservation();  // a free slot, still held
  forget_heartbeat("g1");
  Gateway two = gateway("g2");
  auto stolen = reserve(two, a);
  auto stolen_too = reserve(two, a);
  ASSERT_TRUE(stolen && stolen_too);
  stood_still_ns = 60'000'000'000;
  EXPECT_FALSE(one.limiter->try_reserve(a, "m", {}, nullptr)) << "it has to ask whether the slot is still its own";
  EXPECT_FALSE(reserve(one, a)) << "it is not";
  stood_still_ns = 0;
}

TEST_F(SharedLimitsTest, WithoutTheDatabaseWhatIsLeasedIsServed) {
  Gateway one = gateway("g1");
  const Principal a = key_of("a", {.requests_per_day = 1'000'000});
  // Enough demand for a slice.
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(reserve(one, a));
  postgres_->stop();
  int served = 0;
  for (; served < 1'000; ++served) {
    if (!one.limiter->try_reserve(a, "m", {}, nullptr)) break;
    // Settled: used up.
  }
  const Principal b = key_of("b", {.requests = per_minute(10)});
  const auto refused = reserve(one, b);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable) << refused.error().message;
  EXPECT_GT(refused.error().retry_after_s, 0);
  EXPECT_TRUE(reserve(one, key_of("c", {}))) << "who has no limit does not notice";
  EXPECT_FALSE(one.limiter->maintain());
  postgres_->start();
  EXPECT_TRUE(one.limiter->maintain());
  EXPECT_TRUE(reserve(one, b));
}

// The history of many clients on two gateways, one of which dies without a word.
struct Crowd {
  std::vector<Principal> principals;
  History history;
  std::atomic<int> refused{0};
  std::atomic<int> concurrent{0};
  int most_concurrent = 0;
};

Task<void> client(Crowd& crowd, Limiter& limiter, Loop& loop, unsigned seed, int requests, bool counts_running) {
  std::mt19937 random(seed);
  const auto upto = [&](int most) { return static_cast<std::int64_t>(random() % static_cast<unsigned>(most + 1)); };
  std::vector<Grant> mine;
  for (int i = 0; i < requests; ++i) {
    const auto who = static_cast<std::size_t>(upto(1));
    Grant grant{.at = 0, .who = who, .requests = 1, .input = upto(40), .output = upto(60)};
    const Demand demand{.requests = 1, .input_tokens = grant.input, .output_tokens = grant.output};
    auto done = co_await limiter.reserve(crowd.principals[who], "m", demand, nullptr, loop, {});
    if (!done) {
      EXPECT_EQ(done.error().code, ErrorCode::kRateLimited) << done.error().message;
      ++crowd.refused;
      continue;
    }
    grant.at = History::last_now();
    if (counts_running) {
      EXPECT_LE(++crowd.concurrent, crowd.most_concurrent);
    }
    // A few turns of the loop while others run.
    for (auto turns = upto(4); turns > 0; --turns) co_await boost::asio::post(loop.executor(), use_task);
    if (counts_running) --crowd.concurrent;
    if (upto(3) == 0) {
      *done = Reservation();
      continue;
    }
    grant.input = upto(static_cast<int>(grant.input));
    grant.output = upto(static_cast<int>(grant.output));
    done->settle(grant.input, grant.output);
    mine.push_back(grant);
  }
  crowd.history.add(mine);
}

Task<void> crowd_of(Crowd& crowd, Limiter& limiter, Loop& loop, unsigned seed, int clients, int requests) {
  TaskGroup group(loop.executor());
  for (int i = 0; i < clients; ++i) {
    group.spawn(client(crowd, limiter, loop, seed + static_cast<unsigned>(i), requests, true));
  }
  co_await group.join();
}

TEST_F(SharedLimitsTest, AnyHistoryKeepsEveryPromise) {
  const LimitPolicy key{.requests = per_minute(12'000, 100),
                        .input_tokens = per_minute(240'000, 2'000),
                        .output_tokens = per_minute(360'000, 3'000),
                        .concurrent = 12,
                        .requests_per_day = 1'200};
  const LimitPolicy project{.requests = per_minute(18'000, 150), .tokens_per_month = 30'000};
  Crowd crowd;
  crowd.principals = {key_of("a", key, project, "p"), key_of("b", key, project, "p")};
  crowd.most_concurrent = 24;
  auto one = std::make_unique<Gateway>(gateway("g1"));
  auto two = std::make_unique<Gateway>(gateway("g2"));
  std::atomic<bool> running = true;
  const auto keep_up = [&](Gateway& gateway) {
    return std::thread([&] {
      while (running) {
        if (auto done = gateway.limiter->maintain(); !done) ADD_FAILURE() << done.error().message;
        std::this_thread::yield();
      }
    });
  };
  std::vector<std::thread> threads;
  threads.push_back(keep_up(*one));
  threads.push_back(keep_up(*two));
  std::vector<std::thread> clients;
  for (Gateway* gateway : {one.get(), two.get()}) {
    clients.emplace_back([&, gateway] {
      Loop loop("clients");
      run_task(loop, crowd_of(crowd, *gateway->limiter, loop, gateway == one.get() ? 0U : 1'000U, 60, 100));
    });
  }
  for (auto& thread : clients) thread.join();
  running = false;
  for (auto& thread : threads) thread.join();

  // One dies with what it has; what it used counts, and what it held counts as used.
  one->limiter.reset();
  two->limiter->release_all();
  // What the bursts alone let through, whatever the clock did.
  EXPECT_GE(crowd.history.size(), 30U);
  EXPECT_GT(crowd.refused.load(), 0);
  RecordProperty("granted", static_cast<int>(crowd.history.size()));
  RecordProperty("refused", crowd.refused.load());
  for (const std::size_t who : {0U, 1U}) {
    EXPECT_TRUE(crowd.history.keeps(RateTerms::of(*key.requests), &Grant::requests, who));
    EXPECT_TRUE(crowd.history.keeps(RateTerms::of(*key.input_tokens), &Grant::input, who));
    EXPECT_TRUE(crowd.history.keeps(RateTerms::of(*key.output_tokens), &Grant::output, who));
    const std::int64_t requests = crowd.history.sum(&Grant::requests, who);
    EXPECT_LE(requests, 1'200);
    EXPECT_LE(requests, leased(std::string("key:") + (who == 0 ? "a" : "b") + ":requests_per_day"));
  }
  EXPECT_TRUE(crowd.history.keeps(RateTerms::of(*project.requests), &Grant::requests));
  const std::int64_t tokens = crowd.history.sum(&Grant::input) + crowd.history.sum(&Grant::output);
  EXPECT_LE(tokens, leased("project:p:tokens_per_month"));
  EXPECT_LE(leased("project:p:tokens_per_month"), 30'000);
  // With the dead one's slots free again, all twelve of a key can be had.
  forget_heartbeat("g1");
  Gateway three = gateway("g3");
  std::vector<Reservation> open;
  Gateway four = gateway("g4");
  const Principal fresh = key_of("a", {.concurrent = 12});
  for (int i = 0; i < 12; ++i) {
    auto done = reserve(i % 2 == 0 ? three : four, fresh);
    ASSERT_TRUE(done) << i << done.error().message;
    open.push_back(std::move(*done));
  }
}

TEST_F(SharedLimitsTest, NothingIsLostWhenAllGatewaysEnd) {
  const LimitPolicy key{.concurrent = 50, .requests_per_day = 100'000, .tokens_per_day = 10'000'000};
  Crowd crowd;
  crowd.principals = {key_of("a", key), key_of("b", key)};
  crowd.most_concurrent = 100;
  Gateway one = gateway("g1");
  Gateway two = gateway("g2");
  std::vector<std::thread> clients;
  for (Gateway* gateway : {&one, &two}) {
    clients.emplace_back([&, gateway] {
      Loop loop("clients");
      run_task(loop, crowd_of(crowd, *gateway->limiter, loop, gateway == &one ? 0U : 1'000U, 40, 20));
    });
  }
  for (auto& thread : clients) thread.join();
  one.limiter->release_all();
  two.limiter->release_all();
  for (const std::size_t who : {0U, 1U}) {
    const std::string id = who == 0 ? "key:a" : "key:b";
    EXPECT_EQ(leased(id + ":requests_per_day"), crowd.history.sum(&Grant::requests, who));
    EXPECT_EQ(leased(id + ":tokens_per_day"),
              crowd.history.sum(&Grant::input, who) + crowd.history.sum(&Grant::output, who));
  }
  EXPECT_EQ(number("SELECT coalesce(sum(held), 0) FROM slots"), 0);
}

}  // namespace
}  // namespace llm::access
