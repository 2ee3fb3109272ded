#include <csignal>
#include <random>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "access/audit/audit_under_test.h"

// The disk fails at any call; the process dies at any moment. What was acknowledged is there, what was refused is not,
// and the chain verifies.
namespace llm::access {
namespace {

class AuditFaultTest : public testing::AuditTest {};

TEST_F(AuditFaultTest, TheDiskFailsAtTheNthCall) {
  testing::FailingDisk disk;
  tuning.disk = &disk;
  const auto parent = settings.directory;
  for (const int error : {ENOSPC, EIO}) {
    for (const int failures : {1, 3}) {
      bool failed = true;
      for (int n = 1; failed; ++n) {
        SCOPED_TRACE(fmt::format("{} failures with errno {} from call {} on", failures, error, n));
        settings = {.directory = parent / fmt::format("{}-{}-{}", error, failures, n), .rotate_bytes = 900};
        disk.calls = 0;
        disk.fail_at = n;
        disk.failures = failures;
        disk.error_number = error;
        std::set<std::string> acknowledged;
        std::set<std::string> refused;
        std::unique_ptr<AuditLog> log;
        for (int attempt = 0; !log && attempt < 10; ++attempt) {
          if (auto opened = try_open()) log = std::move(*opened);
        }
        ASSERT_TRUE(log);
        for (int i = 0; i < 6; ++i) {
          log->record(event("recorded", std::to_string(i)));
          const auto done = log->commit(event("committed", std::to_string(i)));
          (done ? acknowledged : refused).insert(std::to_string(i));
          if (!done) {
            EXPECT_EQ(done.error().code, error == ENOSPC ? ErrorCode::kDiskFull : ErrorCode::kIo);
          }
        }
        for (int attempt = 0; !log->flush() && attempt < 10; ++attempt) continue;
        EXPECT_TRUE(log->readiness());
        log.reset();
        failed = disk.calls >= n;
        const auto committed = targets("committed");
        EXPECT_EQ(std::set<std::string>(committed.begin(), committed.end()), acknowledged);
        EXPECT_EQ(committed.size(), acknowledged.size());
        EXPECT_EQ(targets("recorded"), (std::vector<std::string>{"0", "1", "2", "3", "4", "5"}));
        verified();
        EXPECT_TRUE(try_open());  // as another process would find it
      }
    }
  }
}

// In a child: commits and flushes from several threads, and tells through the pipe what was acknowledged.
[[noreturn]] void commit_until_killed(const AuditSettings& settings, const store::DatabaseSettings& where, int pipe,
                                      int round) {
  auto database = store::Database::open(where);
  if (!database) ::_exit(2);
  auto log = AuditLog::open(settings, database->get(), [](const Error&) {});
  if (!log) ::_exit(3);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0;; ++i) {
        AuditEvent event;
        event.action = "a";
        event.target = fmt::format("{}-{}-{}", round, t, i);
        event.outcome = "ok";
        const std::string said = event.target + "\n";
        bool kept = false;
        if (i % 3 == 0) {
          log->get()->record(std::move(event));
          kept = log->get()->flush().has_value();
        } else {
          kept = log->get()->commit(std::move(event)).has_value();
        }
        if (kept && ::write(pipe, said.data(), said.size()) != static_cast<ssize_t>(said.size())) ::_exit(4);
      }
    });
  }
  for (;;) ::pause();
}

TEST_F(AuditFaultTest, KilledAtAnyMoment) {
  const unsigned seed = std::random_device()();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  settings.rotate_bytes = 4'000;
  std::set<std::string> acknowledged;
  for (int round = 0; round < 15; ++round) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(ends[0]);
      commit_until_killed(settings, folder.settings(), ends[1], round);
    }
    ::close(ends[1]);
    // Killed after so many bytes of acknowledgements, wherever the threads are then.
    const std::size_t enough = 1 + random() % 400;
    std::string said;
    bool killed = false;
    for (std::array<char, 64> buffer{};;) {
      const auto got = ::read(ends[0], buffer.data(), buffer.size());
      if (got <= 0) break;
      said.append(buffer.data(), static_cast<std::size_t>(got));
      if (!killed && said.size() >= enough) {
        ASSERT_EQ(::kill(child, SIGKILL), 0);
        killed = true;
      }
    }
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(killed && WIFSIGNALED(status)) << "round " << round << ": the child ended with " << status;
    std::istringstream in(said);
    for (std::string line; std::getline(in, line);) acknowledged.insert(line);

    auto database = folder.open();
    verified(database.get());
    {
      auto log = open_log(database.get());
      EXPECT_TRUE(log->flush());
    }
    const auto result = verified(database.get());
    EXPECT_EQ(result.at("chains").as_array().size(), 1U);
    EXPECT_FALSE(result.at("chains").at(0).as_object().contains("rows_behind"));
    EXPECT_FALSE(result.at("chains").at(0).as_object().contains("unfinished_bytes"));
    const auto written = targets("a");
    const std::set<std::string> unique(written.begin(), written.end());
    EXPECT_EQ(unique.size(), written.size());
    EXPECT_TRUE(std::ranges::includes(unique, acknowledged)) << "an acknowledged record is missing, round " << round;
  }
}

}  // namespace
}  // namespace llm::access
