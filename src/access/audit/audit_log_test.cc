#include "access/audit/audit_log.h"

#include <gmock/gmock.h>
#include <thread>

#include "access/audit/audit_rows.h"
#include "access/audit/audit_under_test.h"

namespace llm::access {
namespace {

using namespace std::chrono_literals;
using testing::AuditTest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using AuditLogTest = AuditTest;

TEST_F(AuditLogTest, BeginsAChain) {
  open_log();
  ASSERT_EQ(lines().size(), 1U);
  const auto row = row_of(lines().front());
  EXPECT_EQ(row->seq, 1);
  EXPECT_EQ(row->action, "audit.genesis");
  EXPECT_EQ(row->chain.size(), 32U);
  EXPECT_EQ(split_line(lines().front())->prev, std::string(64, '0'));
  const auto result = verified();
  EXPECT_TRUE(result.at("ok").as_bool());
}

TEST_F(AuditLogTest, FilesAreForTheOwnerOnly) {
  auto log = open_log();
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(settings.directory).permissions(), perms::owner_all);
  for (const auto& entry : std::filesystem::directory_iterator(settings.directory)) {
    EXPECT_EQ(entry.status().permissions(), perms::owner_read | perms::owner_write) << entry.path();
  }
}

TEST_F(AuditLogTest, CommitIsInTheFileWhenItReturns) {
  auto log = open_log();
  EXPECT_TRUE(log->commit(event("key.create", "k1")));
  EXPECT_THAT(targets("key.create"), ElementsAre("k1"));
  EXPECT_TRUE(log->readiness());
}

TEST_F(AuditLogTest, FlushWritesWhatWasRecorded) {
  auto log = open_log();
  for (int i = 0; i < 5; ++i) log->record(event("generate", std::to_string(i)));
  EXPECT_TRUE(log->flush());
  EXPECT_THAT(targets("generate"), ElementsAre("0", "1", "2", "3", "4"));
}

TEST_F(AuditLogTest, TheEndWritesWhatWaits) {
  {
    auto log = open_log();
    for (int i = 0; i < 3; ++i) log->record(event("generate", std::to_string(i)));
  }
  EXPECT_EQ(targets("generate").size(), 3U);
  verified();
}

TEST_F(AuditLogTest, GoesOnWithItsChain) {
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(open_log()->commit(event("a", std::to_string(i))));
  EXPECT_EQ(files().size(), 1U);
  EXPECT_EQ(lines().size(), 5U);
  const auto result = verified();
  const auto& chain = result.at("chains").at(0).as_object();
  EXPECT_EQ(chain.at("records").as_int64(), 5);
  EXPECT_EQ(chain.at("last").as_int64(), 5);
  EXPECT_EQ(json::string_or(chain, "last_hash"), split_line(lines().back())->hash);
}

TEST_F(AuditLogTest, RotatesAndLinksTheFiles) {
  settings.rotate_bytes = 1'000;
  auto log = open_log();
  for (int i = 0; i < 30; ++i) EXPECT_TRUE(log->commit(event("a", std::to_string(i))));
  EXPECT_GT(files().size(), 5U);
  EXPECT_TRUE(std::ranges::is_sorted(files()));
  for (std::size_t i = 1; i < files().size(); ++i) {
    EXPECT_EQ(split_line(testing::lines_of(files()[i]).front())->prev,
              split_line(testing::lines_of(files()[i - 1]).back())->hash);
  }
  log.reset();
  EXPECT_TRUE(open_log()->commit(event("a", "again")));
  EXPECT_EQ(verified().at("chains").at(0).at("records").as_int64(), 32);
}

TEST_F(AuditLogTest, TwoGatewaysInOneDirectoryHaveTwoChains) {
  auto one = open_log();
  auto two = open_log();
  EXPECT_TRUE(one->commit(event("a", "1")));
  EXPECT_TRUE(two->commit(event("a", "2")));
  EXPECT_EQ(files().size(), 2U);
  EXPECT_EQ(verified().at("chains").as_array().size(), 2U);
  one.reset();
  two.reset();
  one = open_log();  // goes on with one of them
  EXPECT_TRUE(one->commit(event("a", "3")));
  EXPECT_EQ(verified().at("chains").as_array().size(), 2U);
}

TEST_F(AuditLogTest, ManyThreads) {
  settings.rotate_bytes = 20'000;
  auto database = folder.open();
  auto log = open_log(database.get());
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 40; ++i) {
        const auto name = fmt::format("{}-{}", t, i);
        if (i % 4 == 0) {
          EXPECT_TRUE(log->commit(event("a", name)));
        } else {
          log->record(event("a", name));
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(log->flush());
  const auto all = targets("a");
  EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), 320U);
  EXPECT_EQ(all.size(), 320U);
  EXPECT_FALSE(verified(database.get()).at("chains").at(0).as_object().contains("rows_behind"));
}

TEST_F(AuditLogTest, ACutLastLineIsRemoved) {
  open_log()->commit(event("a", "kept")).value();
  const std::string whole = testing::read_whole(files().front());
  const auto last = whole.rfind('\n', whole.size() - 2) + 1;
  for (std::size_t cut = last + 1; cut < whole.size() - 1; cut += 7) {
    testing::write_whole(files().front(), whole.substr(0, cut));
    EXPECT_EQ(verified().at("chains").at(0).at("unfinished_bytes").to_number<std::size_t>(), cut - last);
    EXPECT_TRUE(open_log()->commit(event("a", "next")));
    EXPECT_THAT(targets("a"), ElementsAre("next"));
    verified();
  }
}

TEST_F(AuditLogTest, ALineThatLacksOnlyItsNewlineIsKept) {
  open_log()->commit(event("a", "kept")).value();
  const std::string whole = testing::read_whole(files().front());
  testing::write_whole(files().front(), whole.substr(0, whole.size() - 1));
  EXPECT_TRUE(open_log()->commit(event("a", "next")));
  EXPECT_THAT(targets("a"), ElementsAre("kept", "next"));
  verified();
}

TEST_F(AuditLogTest, AnEmptyNewestFileIsGoneOnWith) {
  open_log()->commit(event("a", "1")).value();
  const auto chain = row_of(lines().front())->chain;
  testing::write_whole(audit_file_path(settings.directory, chain, 3), "");
  EXPECT_TRUE(open_log()->commit(event("a", "2")));
  EXPECT_EQ(testing::lines_of(files().back()).size(), 1U);
  EXPECT_EQ(verified().at("chains").at(0).at("files").as_int64(), 2);
}

TEST_F(AuditLogTest, AChangedEndIsNotGoneOnWith) {
  open_log()->commit(event("a", "1")).value();
  std::string whole = testing::read_whole(files().front());
  whole[whole.find("\"target\":\"1\"") + 10] = '2';
  testing::write_whole(files().front(), whole);
  const auto log = try_open();
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().code, ErrorCode::kConflict);
  EXPECT_THAT(log.error().message, HasSubstr(files().front().filename().string()));
}

TEST_F(AuditLogTest, OldFilesGoAndTheChainStillVerifies) {
  std::int64_t now = 1'700'000'000'000;
  settings.rotate_bytes = 1'000;
  settings.retention_days = 10;
  tuning.now_ms = [&] { return now; };
  auto database = folder.open();
  {
    auto log = open_log(database.get());
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(log->commit(event("old", std::to_string(i))));
    EXPECT_TRUE(log->flush());
  }
  now += 9 * 86'400'000LL;
  open_log(database.get())->commit(event("young")).value();
  EXPECT_EQ(targets("old").size(), 20U);  // nothing is older than ten days
  const auto before = files().size();
  now += 2 * 86'400'000LL;
  {
    auto log = open_log(database.get());
    EXPECT_TRUE(log->commit(event("new")));
    EXPECT_TRUE(log->flush());
  }
  EXPECT_EQ(targets("young").size(), 1U);
  EXPECT_EQ(targets("audit.retention").size(), before - 1);
  const auto result = verified(database.get()).at("chains").at(0).as_object();
  EXPECT_GT(result.at("first").as_int64(), 1);
  const auto rows = database->read([](store::Session& session) { return store::audit(session, {.action = "old"}); });
  EXPECT_TRUE(rows->empty());
  // What nobody wrote down as removed is missing.
  std::filesystem::remove(files().front());
  EXPECT_EQ(verify_audit(settings.directory, nullptr).error().code, ErrorCode::kConflict);
}

TEST_F(AuditLogTest, ARemovalThatACrashInterruptedGoesOn) {
  std::int64_t now = 1'700'000'000'000;
  settings.rotate_bytes = 1'000;
  tuning.now_ms = [&] { return now; };
  {
    auto log = open_log();
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(log->commit(event("old", std::to_string(i))));
  }
  settings.retention_days = 1;
  now += 5 * 86'400'000LL;
  testing::FailingDisk disk;
  tuning.disk = &disk;
  for (int n = 1; n < 40; ++n) {
    disk.calls = 0;
    disk.fail_at = n;
    disk.error_number = EIO;
    // After flush() the files have been looked through once.
    if (auto log = try_open()) (void)(*log)->flush();
    verified();
  }
  EXPECT_LE(targets("old").size(), 4U);
}

TEST_F(AuditLogTest, RowsAreTheLines) {
  auto database = folder.open();
  auto log = open_log(database.get());
  EXPECT_TRUE(log->commit(event("key.create", "k1")));
  log->record(event("generate", "m"));
  EXPECT_TRUE(log->flush());
  const auto chain = row_of(lines().front())->chain;
  const auto rows = database->read([&](store::Session& session) { return store::audit_chain(session, chain, 0, 100); });
  ASSERT_EQ(rows->size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ((*rows)[i].record, lines()[i]);
  EXPECT_EQ((*rows)[1].principal, "key:k1");
}

// What came by way of the files is still in memory; the lines behind it must not need the files again.
TEST_F(AuditLogTest, MemoryGoesOnWhereTheFilesEnded) {
  {
    auto log = open_log();
    EXPECT_TRUE(log->commit(event("a", "1")));
    EXPECT_TRUE(log->commit(event("a", "2")));
    EXPECT_TRUE(log->flush());
  }
  const auto all = lines();
  ASSERT_EQ(all.size(), 3U);  // with the chain's beginning
  testing::write_whole(files().front(), all[0] + "\n" + all[1] + "\n");
  auto database = folder.open();
  std::vector<Error> told;
  AuditRows rows({.directory = settings.directory, .chain = row_of(all[0])->chain, .gather = std::chrono::hours(1)},
                 *database, 2, [&](const Error& error) { told.push_back(error); });
  rows.wait();  // both from the file
  rows.add({all[1], all[2]}, 3);
  rows.wait();
  EXPECT_TRUE(rows.readiness());
  EXPECT_TRUE(told.empty());
  const auto last = database->read([&](store::Session& s) { return store::audit_last(s, row_of(all[0])->chain); });
  ASSERT_TRUE(last && *last);
  EXPECT_EQ((*last)->seq, 3);
}

TEST_F(AuditLogTest, WhatTheDatabaseMissedIsTakenFromTheFiles) {
  testing::UnsteadyDatabase database(folder.open());
  settings.rotate_bytes = 2'000;
  auto log = open_log(&database);
  EXPECT_TRUE(log->commit(event("a", "before")));
  EXPECT_TRUE(log->flush());
  database.down = true;
  for (int i = 0; i < 30; ++i) EXPECT_TRUE(log->commit(event("a", std::to_string(i))));
  EXPECT_TRUE(log->flush());  // the file has it; the database is not asked for more than it can give
  EXPECT_TRUE(log->readiness());
  EXPECT_GE(problem_count(), 1U);
  EXPECT_FALSE(verify_audit(settings.directory, &database));
  database.down = false;
  EXPECT_GT(verified(&database).at("chains").at(0).at("rows_behind").as_int64(), 0);
  EXPECT_TRUE(log->flush());
  EXPECT_FALSE(verified(&database).at("chains").at(0).as_object().contains("rows_behind"));
  // Away while the gateway starts; caught up by the next that starts.
  log.reset();
  database.down = true;
  log = open_log(&database);
  EXPECT_TRUE(log->commit(event("a", "later")));
  log.reset();
  database.down = false;
  log = open_log(&database);
  EXPECT_TRUE(log->flush());
  EXPECT_FALSE(verified(&database).at("chains").at(0).as_object().contains("rows_behind"));
}

TEST_F(AuditLogTest, FilesThatEndBeforeTheTableAreNotGoneOnWith) {
  testing::UnsteadyDatabase database(folder.open());
  {
    auto log = open_log(&database);
    EXPECT_TRUE(log->commit(event("a", "1")));
    EXPECT_TRUE(log->commit(event("a", "2")));
    EXPECT_TRUE(log->flush());
  }
  std::string whole = testing::read_whole(files().front());
  whole.resize(whole.rfind('\n', whole.size() - 2) + 1);
  testing::write_whole(files().front(), whole);
  EXPECT_EQ(try_open(&database).error().code, ErrorCode::kConflict);
  // Found later where the database was away at first.
  database.down = true;
  auto log = open_log(&database);
  EXPECT_TRUE(log->commit(event("a", "other 2")));
  database.down = false;
  EXPECT_TRUE(log->flush());
  EXPECT_EQ(log->readiness().error().code, ErrorCode::kConflict);
  EXPECT_FALSE(verify_audit(settings.directory, &database));
}

TEST_F(AuditLogTest, AFullDiskRefusesAndIsTriedAgain) {
  testing::FailingDisk disk;
  tuning.disk = &disk;
  auto log = open_log();
  disk.calls = 0;
  disk.fail_at = 1;
  disk.failures = 1'000'000;
  EXPECT_EQ(log->commit(event("a", "refused")).error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(log->readiness().error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(problem_count(), 1U);
  log->record(event("a", "kept"));
  EXPECT_FALSE(log->flush());
  disk.fail_at = 0;
  EXPECT_TRUE(log->flush());
  EXPECT_TRUE(log->readiness());
  EXPECT_THAT(targets("a"), ElementsAre("kept"));
  EXPECT_EQ(targets("audit.lost").size(), 1U);  // one action was refused
  verified();
}

TEST_F(AuditLogTest, AFullQueueIsHeardOf) {
  testing::GatedDisk disk;
  tuning.disk = &disk;
  tuning.full_wait = 1ms;
  settings.queue_limit = 4;
  auto log = open_log();
  disk.shut();
  log->record(event("a", "1"));
  disk.wait_until_somebody_waits();
  for (const char* name : {"2", "3", "4", "lost", "lost"}) log->record(event("a", name));
  EXPECT_EQ(problem_count(), 1U);
  EXPECT_EQ(log->readiness().error().code, ErrorCode::kUnavailable);
  disk.open();
  EXPECT_TRUE(log->flush());
  EXPECT_TRUE(log->readiness());
  EXPECT_THAT(targets("a"), ElementsAre("1", "2", "3", "4"));
  ASSERT_EQ(targets("audit.lost").size(), 1U);
  EXPECT_THAT(testing::read_whole(files().front()), HasSubstr(R"("after":{"lost":2,"refused":0})"));
  verified();
}

// A full queue waits for the writer before it gives up.
TEST_F(AuditLogTest, AFullQueueWaitsForTheWriter) {
  testing::GatedDisk disk;
  tuning.disk = &disk;
  tuning.full_wait = 600s;
  settings.queue_limit = 1;
  auto log = open_log();
  disk.shut();
  log->record(event("a", "1"));
  disk.wait_until_somebody_waits();
  std::thread other([&] { log->record(event("a", "2")); });
  disk.open();
  other.join();
  EXPECT_TRUE(log->flush());
  EXPECT_THAT(targets("a"), ElementsAre("1", "2"));
}

TEST_F(AuditLogTest, ADirectoryThatCannotBeWrittenIsAnError) {
  testing::write_whole(folder.folder() / "file", "x");
  settings.directory = folder.folder() / "file" / "audit";
  EXPECT_FALSE(try_open());
}

TEST_F(AuditLogTest, NoSecretReachesTheFiles) {
  auto log = open_log();
  const std::string key = "llm_0123456789abcdef_0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk";
  AuditEvent bad = event("auth.failed", "Bearer " + key);
  bad.message = "no such key: " + key;
  bad.after = json::object{{"authorization", "x"}, {"note", key}};
  EXPECT_TRUE(log->commit(std::move(bad)));
  EXPECT_EQ(testing::read_whole(files().front()).find("ghjkmnp"), std::string::npos);
}

}  // namespace
}  // namespace llm::access
