#include "store/database.h"

#include <atomic>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "store/directory_tables.h"
#include "store/sql_database.h"
#include "store/store_fixture.h"

namespace llm::store {
namespace {

ProjectRow project(std::string id) {
  return {.id = std::move(id), .name = "", .settings = "", .created = 1, .disabled = 0};
}

class DatabaseTest : public StoreTest {
 protected:
  std::size_t projects() {
    return read([](Session& s) { return load_directory(s); }).projects.size();
  }
};
STORE_ON_BOTH(DatabaseTest);

TEST_P(DatabaseTest, SaysWhatItIsWithoutCredentials) {
  EXPECT_EQ(database_->shared(), GetParam() == Dialect::kPostgres);
  EXPECT_EQ(database_->description().find("pass"), std::string::npos);
  EXPECT_NE(database_->description().find(GetParam() == Dialect::kPostgres ? "PostgreSQL test_" : "SQLite /"),
            std::string::npos);
}

TEST_P(DatabaseTest, AnErrorOrAnExceptionRollsBack) {
  EXPECT_EQ(database_
                ->write([](Session& s) -> Result<void> {
                  EXPECT_TRUE(insert(s, project("p")));
                  return fail(ErrorCode::kConflict, "no");
                })
                .error()
                .code,
            ErrorCode::kConflict);
  EXPECT_THROW((void)database_->write([](Session& s) -> Result<void> {
    EXPECT_TRUE(insert(s, project("p")));
    throw std::runtime_error("a bug");
  }),
               std::runtime_error);
  EXPECT_EQ(projects(), 0U);
  write([](Session& s) { return insert(s, project("p")); });  // and the next one works
  EXPECT_EQ(projects(), 1U);
}

TEST_P(DatabaseTest, AReadSeesOneMomentAndCannotWrite) {
  write([](Session& s) { return insert(s, project("p")); });
  read([&](Session& s) -> Result<int> {
    EXPECT_EQ(load_directory(s)->projects.size(), 1U);
    write([](Session& other) { return insert(other, project("q")); });
    EXPECT_EQ(load_directory(s)->projects.size(), 1U);
    return 0;
  });
  EXPECT_EQ(projects(), 2U);
  EXPECT_FALSE(database_->read([](Session& s) { return insert(s, project("r")); }));
  EXPECT_EQ(projects(), 2U);
}

TEST_P(DatabaseTest, WhatWasCommittedIsThereAfterReopening) {
  write([](Session& s) { return insert(s, project("p")); });
  database_.reset();
  database_ = open();
  EXPECT_EQ(projects(), 1U);
}

TEST_P(DatabaseTest, ManyThreadsOpenANewDatabaseAtOnce) {
  if (GetParam() == Dialect::kPostgres) {
    settings_ = PostgresUnderTest::shared()->new_database();
  } else {
    settings_.url = "sqlite:" + (file_->folder() / "new" / "database.db").string();
  }
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      auto mine = Database::open(settings_);
      ASSERT_TRUE(mine) << mine.error().message;
      EXPECT_TRUE((*mine)->write([&](Session& s) { return insert(s, project("p" + std::to_string(i))); }));
    });
  }
  threads.clear();
  database_ = open();
  EXPECT_EQ(projects(), 8U);
}

TEST_P(DatabaseTest, ManyProcessesOpenANewDatabaseAtOnce) {
  if (GetParam() == Dialect::kPostgres) {
    settings_ = PostgresUnderTest::shared()->new_database();
  } else {
    settings_.url = "sqlite:" + (file_->folder() / "new.db").string();
  }
  std::vector<pid_t> children;
  for (int i = 0; i < 6; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      auto mine = Database::open(settings_);
      const bool done =
          mine && (*mine)->write([&](Session& s) { return insert(s, project("p" + std::to_string(i))); }).has_value();
      ::_exit(done ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  database_ = open();
  EXPECT_EQ(projects(), 6U);
}

std::vector<Migration> with_second_step(std::string_view sql) {
  std::vector<Migration> steps = migrations();
  steps.push_back({steps.back().version + 1, {{sql}}});
  return steps;
}
constexpr std::string_view kNewColumn = "ALTER TABLE projects ADD COLUMN note {text} NOT NULL DEFAULT 'none'";

TEST_P(DatabaseTest, AMigrationKeepsTheDataAndABackup) {
  write([](Session& s) { return insert(s, project("p")); });
  database_.reset();
  const auto steps = with_second_step(kNewColumn);
  {
    // Two gateways start at once: one migrates.
    std::vector<std::jthread> gateways;
    for (int i = 0; i < 3; ++i) {
      gateways.emplace_back([&] {
        auto migrated = open_database(settings_, steps);
        EXPECT_TRUE(migrated) << migrated.error().message;
      });
    }
  }
  database_ = must(open_database(settings_, steps));
  EXPECT_EQ(projects(), 1U);
  database_.reset();

  if (GetParam() == Dialect::kPostgres) {
    auto* postgres = PostgresUnderTest::shared();
    const std::string name =
        settings_.url.substr(settings_.url.find("test_"), settings_.url.find('?') - settings_.url.find("test_"));
    const std::string schema = postgres->execute(
        "SELECT string_agg(nspname, ',') FROM pg_namespace WHERE nspname LIKE 'llm_mcp_backup_1_%'", name);
    ASSERT_NE(schema, "");
    EXPECT_EQ(schema.find(','), std::string::npos) << "more than one backup";
    EXPECT_EQ(postgres->execute("SELECT id FROM " + schema + ".projects", name), "p");
    EXPECT_EQ(postgres->execute("SELECT max(version) FROM " + schema + ".schema_version", name), "1");
  } else {
    std::vector<std::filesystem::path> backups;
    for (const auto& entry : std::filesystem::directory_iterator(file_->folder())) {
      if (entry.path().filename().string().starts_with("llm-mcp-1-")) backups.push_back(entry.path());
    }
    ASSERT_EQ(backups.size(), 1U);
    struct stat status{};
    ASSERT_EQ(::stat(backups[0].c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600U);
    settings_.url = "sqlite:" + backups[0].string();
    database_ = open();
    EXPECT_EQ(projects(), 1U);
  }
}

TEST_P(DatabaseTest, AMigrationThatFailsChangesNothing) {
  write([](Session& s) { return insert(s, project("p")); });
  database_.reset();
  auto steps = with_second_step(kNewColumn);
  steps.back().statements.push_back({"INSERT INTO no_such_table VALUES (1)"});
  EXPECT_FALSE(open_database(settings_, steps));
  database_ = open();  // version 1 still
  EXPECT_EQ(projects(), 1U);
  database_.reset();
  EXPECT_TRUE(open_database(settings_, with_second_step(kNewColumn)));  // the column was not left behind
}

TEST_P(DatabaseTest, ANewerSchemaIsRefused) {
  database_.reset();
  must(open_database(settings_, with_second_step(kNewColumn)));
  auto refused = Database::open(settings_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_NE(refused.error().message.find("newer version"), std::string::npos);
}

TEST_P(DatabaseTest, MoreThreadsThanConnectionsWaitForTheirTurn) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < 24; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < 5; ++j) {
        EXPECT_TRUE(database_->read([](Session& s) { return directory_revision(s); }));
      }
      EXPECT_TRUE(database_->write([&](Session& s) { return insert(s, project("p" + std::to_string(i))); }));
    });
  }
  threads.clear();
  EXPECT_EQ(projects(), 24U);
}

TEST_P(DatabaseTest, WhoWaitsTooLongForAConnectionIsTold) {
  settings_.connections = 1;
  settings_.busy_timeout = std::chrono::milliseconds(20);
  database_ = open();
  read([&](Session&) -> Result<int> {
    auto none = database_->read([](Session& s) { return directory_revision(s); });
    EXPECT_EQ(none.error().code, ErrorCode::kUnavailable);
    EXPECT_EQ(none.error().retry_after_s, 1);
    return 0;
  });
  EXPECT_TRUE(database_->read([](Session& s) { return directory_revision(s); }));
}

TEST_P(DatabaseTest, ALockThatStaysIsUnavailable) {
  settings_.busy_timeout = std::chrono::milliseconds(30);
  auto impatient = open();
  write([&](Session& s) -> Result<void> {
    EXPECT_TRUE(insert(s, project("p")));
    auto locked = impatient->write([](Session& other) { return insert(other, project("q")); });
    EXPECT_EQ(locked.error().code, ErrorCode::kUnavailable) << locked.error().message;
    return {};
  });
  EXPECT_TRUE(impatient->write([](Session& s) { return insert(s, project("q")); }));
  EXPECT_EQ(projects(), 2U);
}

TEST(DatabaseUrl, BadOnesAreRefused) {
  for (const char* url : {"", "mysql://x", "sqlite", "sqlite:", "sqlite::memory:", "sqlite:/tmp/a\"b.db",
                          "postgresql:", "postgresql://u:secret@[::1/x", "postgresql://u:secret@h/db?nonsense=1"}) {
    DatabaseSettings settings;
    settings.url = url;
    settings.password = "secret";
    auto refused = Database::open(settings);
    ASSERT_FALSE(refused) << url;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument) << url;
    EXPECT_EQ(refused.error().message.find("secret"), std::string::npos) << refused.error().message;
  }
}

TEST(SqliteFile, IsPrivateFromTheStartAndWithASpaceInItsName) {
  TemporarySqlite temporary;
  DatabaseSettings settings;
  const auto file = temporary.folder() / "a folder" / "it's a file; x=y.db";
  settings.url = "sqlite:" + file.string();
  const mode_t before = ::umask(0);
  auto database = Database::open(settings);
  ::umask(before);
  ASSERT_TRUE(database) << database.error().message;
  ASSERT_TRUE((*database)->write([](Session& s) { return insert(s, project("p")); }));
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat status{};
    ASSERT_EQ(::stat((file.string() + suffix).c_str(), &status), 0) << suffix;
    EXPECT_EQ(status.st_mode & 0777, 0600U) << suffix;
  }
}

TEST(SqliteFile, ThatOthersMayReadIsMended) {
  TemporarySqlite temporary;
  (void)temporary.open();
  ASSERT_EQ(::chmod(temporary.file().c_str(), 0644), 0);
  (void)temporary.open();
  struct stat status{};
  ASSERT_EQ(::stat(temporary.file().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST(SqliteFile, OfAnotherProgramOrNoDatabaseAtAllIsLeftAlone) {
  TemporarySqlite temporary;
  {
    std::ofstream(temporary.file()) << std::string(4096, 'x');
  }
  auto refused = Database::open(temporary.settings());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kIo);
  std::filesystem::remove(temporary.file());
  std::filesystem::create_directory(temporary.file());
  EXPECT_FALSE(Database::open(temporary.settings()));
  std::filesystem::remove(temporary.file());

  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(temporary.file().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "CREATE TABLE notes (body TEXT)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  refused = Database::open(temporary.settings());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
}

}  // namespace
}  // namespace llm::store
