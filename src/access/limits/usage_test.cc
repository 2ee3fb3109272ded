// Usage is booked once, whatever fails: sums, days, failing databases, group commit.
#include "access/limits/usage.h"

#include <gtest/gtest.h>
#include <limits>
#include <sqlite3.h>
#include <thread>
#include <vector>

#include "access/limits/limiter_fixture.h"
#include "async/run_task.h"
#include "async/task_group.h"
#include "store/temporary_sqlite.h"
#include "store/usage_tables.h"

namespace llm::access {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kToday = ManualClock::kStart / 86'400'000'000'000;

class UsageTest : public ::testing::Test {
 protected:
  UsageTest() {
    auto settings = file_.settings();
    settings.busy_timeout = 1ms;
    database_ = std::move(*store::Database::open(settings));
  }
  std::vector<store::UsageRow> rows() {
    return *database_->read(
        [](store::Session& session) { return store::usage(session, {.from_day = kToday - 5, .to_day = kToday + 5}); });
  }
  std::int64_t total_requests() {
    std::int64_t total = 0;
    for (const auto& row : rows()) total += row.requests;
    return total;
  }

  store::TemporarySqlite file_;
  std::unique_ptr<store::Database> database_;
  ManualClock clock_;
};

// Another program that holds the write lock.
class Lock {
 public:
  explicit Lock(const std::filesystem::path& file) {
    EXPECT_EQ(sqlite3_open(file.c_str(), &handle_), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(handle_, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  }
  ~Lock() { sqlite3_close(handle_); }

 private:
  sqlite3* handle_ = nullptr;
};

TEST_F(UsageTest, SumsByDayProjectKeyAndModel) {
  UsageBook book(database_.get(), UsageDurability::kInterval, clock_.ms());
  const Principal a = key_of("a", {}, {}, "team");
  book.add(a, "m", {.input_tokens = 10, .cached_tokens = 4, .output_tokens = 5});
  book.add(a, "m", {.failed = 1, .input_tokens = 1});
  book.add(a, "n", {.output_tokens = 2});
  book.add({}, "m", {.requests = 3});
  EXPECT_EQ(book.pending_requests(), 6);
  clock_.advance(24h);
  book.add(a, "m", {.input_tokens = 100});
  ASSERT_TRUE(book.flush());
  EXPECT_EQ(book.pending_requests(), 0);
  auto all = rows();
  std::ranges::sort(all, {}, [](const auto& row) { return std::tie(row.day, row.key, row.model); });
  EXPECT_EQ(all,
            (std::vector<store::UsageRow>{
                {.day = kToday,
                 .project = "team",
                 .key = "a",
                 .model = "m",
                 .requests = 2,
                 .failed = 1,
                 .input_tokens = 11,
                 .cached_tokens = 4,
                 .output_tokens = 5},
                {.day = kToday, .project = "team", .key = "a", .model = "n", .requests = 1, .output_tokens = 2},
                {.day = kToday, .project = "default", .key = "local", .model = "m", .requests = 3},
                {.day = kToday + 1, .project = "team", .key = "a", .model = "m", .requests = 1, .input_tokens = 100}}));
  ASSERT_TRUE(book.flush()) << "with nothing to write";
  EXPECT_EQ(total_requests(), 7);
}

TEST_F(UsageTest, ConcurrentAddsAndFlushesLoseNothing) {
  UsageBook book(database_.get(), UsageDurability::kInterval, clock_.ms());
  std::atomic<bool> adding = true;
  std::thread flusher([&] {
    while (adding) EXPECT_TRUE(book.flush());
  });
  std::vector<std::thread> adders;
  for (int thread = 0; thread < 4; ++thread) {
    adders.emplace_back([&, thread] {
      const Principal mine = key_of("k" + std::to_string(thread % 2), {});
      for (int i = 0; i < 2'000; ++i) book.add(mine, "m", {.input_tokens = i, .output_tokens = 1});
    });
  }
  for (auto& adder : adders) adder.join();
  adding = false;
  flusher.join();
  ASSERT_TRUE(book.flush());
  std::int64_t input = 0;
  std::int64_t output = 0;
  for (const auto& row : rows()) {
    input += row.input_tokens;
    output += row.output_tokens;
  }
  EXPECT_EQ(total_requests(), 8'000);
  EXPECT_EQ(input, 4 * 1'999'000);
  EXPECT_EQ(output, 8'000);
}

TEST_F(UsageTest, AFailedFlushKeepsTheSums) {
  UsageBook book(database_.get(), UsageDurability::kInterval, clock_.ms());
  const Principal a = key_of("a", {});
  {
    const Lock lock(file_.file());
    for (int i = 0; i < 3; ++i) {
      book.add(a, "m", {.input_tokens = 1});
      EXPECT_FALSE(book.flush());
      EXPECT_EQ(book.pending_requests(), i + 1);
    }
  }
  ASSERT_TRUE(book.flush());
  EXPECT_EQ(book.pending_requests(), 0);
  EXPECT_EQ(total_requests(), 3);
}

TEST_F(UsageTest, ABatchThatIsRepeatedCountsOnce) {
  const std::vector<store::UsageRow> batch{{.day = kToday, .project = "p", .key = "k", .model = "m", .requests = 5}};
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(
        database_->write([&](store::Session& session) { return store::add_usage(session, "the same", batch); }));
  }
  EXPECT_EQ(total_requests(), 5);
}

TEST_F(UsageTest, DoesNotOverflowNorGoDown) {
  UsageBook book(database_.get(), UsageDurability::kInterval, clock_.ms());
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  book.add({}, "m", {.requests = 1, .input_tokens = kMost, .output_tokens = -7});
  book.add({}, "m", {.requests = 1, .input_tokens = kMost, .output_tokens = -7});
  ASSERT_TRUE(book.flush());
  EXPECT_EQ(rows().at(0).input_tokens, kMost);
  EXPECT_EQ(rows().at(0).output_tokens, 0);
}

TEST_F(UsageTest, TextsThatTheDatabaseRefusesHoldUpNothing) {
  UsageBook book(database_.get(), UsageDurability::kInterval, clock_.ms());
  book.add({.id = std::string("token:x:a\0b", 11)}, "m\xff", {});
  book.add({.id = "'; DROP TABLE usage; --"}, "m", {});
  ASSERT_TRUE(book.flush());
  EXPECT_EQ(total_requests(), 2);
}

Task<void> book_one(UsageBook& book, Loop& loop, const Principal& principal, int& failed) {
  book.add(principal, "m", {});
  if (!co_await book.settled(loop)) ++failed;
}

Task<void> book_many(UsageBook& book, Loop& loop, const Principal& principal, int count, int& failed) {
  TaskGroup group(loop.executor());
  for (int i = 0; i < count; ++i) group.spawn(book_one(book, loop, principal, failed));
  co_await group.join();
}

TEST_F(UsageTest, StrictWaitsUntilItIsWritten) {
  UsageBook book(database_.get(), UsageDurability::kStrict, clock_.ms());
  Loop loop("test");
  int failed = 0;
  run_task(loop, book_many(book, loop, key_of("a", {}), 200, failed));
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(book.pending_requests(), 0);
  EXPECT_EQ(total_requests(), 200) << "without a flush of anybody else's";
}

TEST_F(UsageTest, StrictTellsWhoWaitsThatItFailedAndKeepsTheSums) {
  UsageBook book(database_.get(), UsageDurability::kStrict, clock_.ms());
  Loop loop("test");
  int failed = 0;
  {
    const Lock lock(file_.file());
    run_task(loop, book_many(book, loop, key_of("a", {}), 5, failed));
  }
  EXPECT_EQ(failed, 5);
  EXPECT_EQ(book.pending_requests(), 5);
  failed = 0;
  run_task(loop, book_many(book, loop, key_of("a", {}), 1, failed));
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(total_requests(), 6);
}

TEST_F(UsageTest, WithoutStrictNobodyWaits) {
  UsageBook book(database_.get(), UsageDurability::kInterval, clock_.ms());
  Loop loop("test");
  int failed = 0;
  run_task(loop, book_many(book, loop, key_of("a", {}), 3, failed));
  EXPECT_EQ(book.pending_requests(), 3);
}

// What quotas start from.

Result<Reservation> reserve(Limiter& limiter, const Principal& principal, const Demand& demand = {}) {
  Loop loop("test");
  Result<Reservation> out{std::unexpect, Error{}};
  const auto ask = [](Limiter& of, Principal who, Demand what, Loop& on, Result<Reservation>& into) -> Task<void> {
    into = co_await of.reserve(who, "m", what, nullptr, on, {});
  };
  run_task(loop, ask(limiter, principal, demand, loop, out));
  return out;
}

class QuotaStart : public UsageTest {
 protected:
  void used(const Principal& principal, const std::string& model, std::int64_t tokens) {
    UsageBook book(database_.get(), UsageDurability::kInterval, clock_.ms());
    book.add(principal, model, {.input_tokens = tokens});
    ASSERT_TRUE(book.flush());
  }
};

TEST_F(QuotaStart, QuotasStartFromTheUsageInTheDatabase) {
  clock_.advance(-24h);
  used(key_of("a", {}, {}, "p"), "m", 100);
  clock_.advance(24h);
  used(key_of("a", {}, {}, "p"), "m", 20);
  used(key_of("b", {}, {}, "p"), "n", 3);
  Limiter limiter({.defaults = {.models = {{"*", {.tokens_per_month = 1'000}}}}}, database_.get(), "g1", clock_.ns());
  const Principal a = key_of("a", {.tokens_per_day = 50}, {.tokens_per_month = 200}, "p");
  EXPECT_FALSE(*limiter.try_reserve(a, "m", {.input_tokens = 31}, nullptr)) << "20 were used today";
  EXPECT_TRUE(*limiter.try_reserve(a, "m", {.input_tokens = 30}, nullptr));
  const Principal c = key_of("c", {}, {.tokens_per_month = 200}, "p");
  EXPECT_FALSE(*limiter.try_reserve(c, "m", {.input_tokens = 78}, nullptr)) << "123 of the project";
  EXPECT_TRUE(*limiter.try_reserve(c, "m", {.input_tokens = 77}, nullptr));
  EXPECT_FALSE(*limiter.try_reserve({}, "m", {.input_tokens = 881}, nullptr)) << "120 of the model";
  EXPECT_TRUE(*limiter.try_reserve({}, "n", {.input_tokens = 997}, nullptr));
}

TEST_F(QuotaStart, AQuotaThatIsSetLaterCountsWhatWentBefore) {
  Limiter limiter({}, database_.get(), "g1", clock_.ns());
  EXPECT_TRUE(limiter.try_reserve(key_of("a", {}), "m", {}, nullptr)->value().empty());
  used(key_of("a", {}), "m", 40);
  const Principal a = key_of("a", {.tokens_per_day = 50});
  EXPECT_FALSE(limiter.try_reserve(a, "m", {.input_tokens = 11}, nullptr)) << "it has to be read first";
  EXPECT_FALSE(reserve(limiter, a, {.input_tokens = 11}));
  EXPECT_TRUE(reserve(limiter, a, {.input_tokens = 10}));
  EXPECT_TRUE(limiter.try_reserve(a, "m", {.input_tokens = 10}, nullptr)->has_value());
}

}  // namespace
}  // namespace llm::access
