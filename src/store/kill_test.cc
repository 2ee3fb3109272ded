#include <cstdio>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/audit_table.h"
#include "store/directory_tables.h"
#include "store/store_fixture.h"
#include "store/usage_tables.h"

// A gateway that is killed at any moment loses nothing that it acknowledged, and leaves nothing half done.
namespace llm::store {
namespace {

class KillTest : public StoreTest {};
STORE_ON_BOTH(KillTest);

// A key, its audit record and its usage in one transaction; every second one also revokes the key before it.
Result<void> do_step(Session& session, std::int64_t step) {
  KeyRow key;
  key.id = std::to_string(step);
  key.project = "p";
  key.role = "user";
  key.hash = std::string(32, 'h');
  key.settings = std::string(static_cast<std::size_t>(step % 7) * 900, ' ');
  if (auto done = insert(session, key); !done) return done;
  if (step % 2 == 1) {
    auto before = find_key(session, std::to_string(step - 1));
    if (!before) return fail(before.error());
    if (*before) {
      (*before)->revoked = step;
      if (auto done = update(session, **before); !done) return done;
    }
  }
  AuditRow record;
  record.chain = "c";
  record.seq = step;
  if (auto done = append_audit(session, {record}); !done) return done;
  return add_usage(session, std::to_string(step),
                   {{.day = 1, .project = "p", .key = "k", .model = "m", .requests = 1}});
}

// In the child: until it is killed. Each acknowledged step is told through the pipe.
[[noreturn]] void live(const DatabaseSettings& settings, int pipe, std::int64_t first) {
  auto database = Database::open(settings);
  if (!database) ::_exit(1);
  for (std::int64_t step = first;; ++step) {
    if (!(*database)->write([&](Session& s) { return do_step(s, step); })) ::_exit(2);
    if (::write(pipe, &step, sizeof step) != sizeof step) ::_exit(3);
  }
}

TEST_P(KillTest, KeepsAllThatWasAcknowledged) {
  write([](Session& s) {
    return insert(s, ProjectRow{.id = "p", .name = "", .settings = "", .created = 1, .disabled = 0});
  });
  database_.reset();  // the child must not share connections
  const auto seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  std::set<std::int64_t> acknowledged;
  std::int64_t next = 0;
  for (int round = 0; round < 12; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(ends[0]);
      live(settings_, ends[1], next);
    }
    ::close(ends[1]);
    const auto until = std::uniform_int_distribution<int>(0, 25)(random);
    std::int64_t step = 0;
    for (int i = 0; i < until && ::read(ends[0], &step, sizeof step) == sizeof step; ++i) acknowledged.insert(step);
    // Then at any point within a transaction.
    volatile std::uint32_t spin = std::uniform_int_distribution<std::uint32_t>(0, 2'000'000)(random);
    while (spin > 0) spin = spin - 1;
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << status;
    while (::read(ends[0], &step, sizeof step) == sizeof step) acknowledged.insert(step);
    ::close(ends[0]);

    database_ = open();
    const auto rows = read([](Session& s) { return load_directory(s); });
    std::set<std::int64_t> keys;
    for (const auto& key : rows.keys) keys.insert(std::stoll(key.id));
    for (const auto& key : rows.keys) {
      const std::int64_t id = std::stoll(key.id);
      EXPECT_EQ(key.revoked, id % 2 == 0 && keys.contains(id + 1) ? id + 1 : 0) << id;
    }
    std::set<std::int64_t> records;
    for (const auto& row : read([](Session& s) { return audit_chain(s, "c", -1, 100'000); })) records.insert(row.seq);
    EXPECT_EQ(records, keys);
    const auto sums = read([](Session& s) { return usage(s, {.from_day = 0, .to_day = 9}); });
    EXPECT_EQ(sums.empty() ? 0 : sums[0].requests, static_cast<std::int64_t>(keys.size()));
    for (const std::int64_t id : acknowledged) EXPECT_TRUE(keys.contains(id)) << id << " was lost";
    EXPECT_LE(keys.size(), acknowledged.size() + static_cast<std::size_t>(round) + 1);  // one unheard for each kill
    ASSERT_FALSE(HasFailure()) << "round " << round;
    next = keys.empty() ? 0 : *keys.rbegin() + 1;
    next += next % 2;
    database_.reset();
  }
  EXPECT_FALSE(acknowledged.empty());
}

}  // namespace
}  // namespace llm::store
