#pragma once

#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>

#include "store/postgres_under_test.h"
#include "store/session.h"
#include "store/temporary_sqlite.h"

// The same tests on both databases: class X : public StoreTest {}; STORE_ON_BOTH(X); TEST_P(X, …).
namespace llm::store {

class StoreTest : public testing::TestWithParam<Dialect> {
 protected:
  void SetUp() override {
    if (GetParam() == Dialect::kPostgres) {
      auto* postgres = PostgresUnderTest::shared();
      if (postgres == nullptr) GTEST_SKIP() << PostgresUnderTest::kMissing;
      settings_ = postgres->new_database();
    } else {
      file_.emplace();
      settings_ = file_->settings();
    }
    settings_.connections = 8;
    database_ = open();
  }

  std::unique_ptr<Database> open() {
    auto database = Database::open(settings_);
    if (!database) throw std::runtime_error(database.error().message);
    return std::move(*database);
  }

  // `work` in a transaction that must succeed; gives back what it returns.
  template <class Work>
  auto write(Work work) {
    return must(database_->write(work));
  }
  template <class Work>
  auto read(Work work) {
    return must(database_->read(work));
  }
  template <class T>
  static T must(Result<T> result) {
    if (!result) throw std::runtime_error("unexpected: " + to_string(result.error()));
    if constexpr (!std::is_void_v<T>) return std::move(*result);
  }
  static void must(Result<void> result) {
    if (!result) throw std::runtime_error("unexpected: " + to_string(result.error()));
  }

  std::optional<TemporarySqlite> file_;
  DatabaseSettings settings_;
  std::unique_ptr<Database> database_;
};

#define STORE_ON_BOTH(Fixture)                                                                      \
  INSTANTIATE_TEST_SUITE_P(                                                                         \
      , Fixture, testing::Values(::llm::store::Dialect::kSqlite, ::llm::store::Dialect::kPostgres), \
      [](const auto& info) { return info.param == ::llm::store::Dialect::kSqlite ? "SQLite" : "PostgreSQL"; })

}  // namespace llm::store
