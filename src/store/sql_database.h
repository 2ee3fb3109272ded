#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "store/connection_pool.h"
#include "store/migrations.h"
#include "store/sql_failure.h"

namespace llm::store {

// What differs between the two: how to connect and how transactions begin.
struct Backend {
  Dialect dialect = Dialect::kSqlite;
  std::string description;
  std::string begin_write;
  std::string begin_read;
  std::size_t readers = 1;
  std::size_t writers = 0;  // 0: writers and readers are of one pool
  std::chrono::milliseconds patience{};
  std::function<std::unique_ptr<soci::session>(bool may_write)> open;
};
Result<Backend> sqlite_backend(const DatabaseSettings& settings);    // makes the file
Result<Backend> postgres_backend(const DatabaseSettings& settings);  // does not connect yet

// Database::open() with other steps than this program's, for tests of migrations.
Result<std::unique_ptr<Database>> open_database(const DatabaseSettings& settings, std::span<const Migration> steps);

class SqlDatabase final : public Database {
 public:
  explicit SqlDatabase(Backend backend);
  bool shared() const override { return backend_.dialect == Dialect::kPostgres; }
  std::string description() const override { return backend_.description; }

 protected:
  Result<void> run_transaction(const std::function<Result<void>(Session&)>& work, bool writes) override;

 private:
  struct Attempt {
    Result<void> result;
    bool again = false;  // nothing was done and it may work the next time
  };
  Attempt attempt(const std::function<Result<void>(Session&)>& work, bool writes);
  Attempt failed(ConnectionPool::Lease* lease, ConnectionPool& pool, bool committing);

  const Backend backend_;
  ConnectionPool readers_;
  std::optional<ConnectionPool> writer_;  // SQLite: one, so that writers wait here and not for the file's lock
};

}  // namespace llm::store
