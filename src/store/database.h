#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>

#include "base/error.h"

namespace llm::store {

struct DatabaseSettings {
  // "sqlite:/path/to/file.db", or "postgresql://user@host:5432/name?sslmode=verify-full" (libpq's connection URI).
  std::string url;
  std::string password;                           // for PostgreSQL, if the URI has none; never logged
  std::size_t connections = 4;                    // open at once; PostgreSQL
  std::chrono::milliseconds busy_timeout{5'000};  // how long a statement waits for a lock, a connection for the server
  std::filesystem::path backups;                  // where a migration puts its backup; empty: beside the SQLite file
};

class Session;  // one connection within a transaction; given to the functions of the tables' headers

// The database: SQLite in a file (WAL, synchronous=FULL: what is committed survives a power cut), or PostgreSQL for
// several gateways. Every call blocks: never on a loop. Any thread. Errors: kUnavailable for a database that cannot be
// reached or stays locked, kDiskFull, kIo, kInternal. Statements only ever take bound parameters.
class Database {
 public:
  // Connects and brings the schema up to date; before a migration of an existing database a backup is made. Several
  // gateways may start at once: one migrates, the others wait. kConflict for a schema that is newer than this program.
  static Result<std::unique_ptr<Database>> open(DatabaseSettings settings);
  virtual ~Database() = default;

  // Do several gateways share it?
  virtual bool shared() const = 0;
  virtual std::string description() const = 0;  // for people: kind and place, without credentials

  // `work` in one transaction: committed, durably, if it returns a value; rolled back if it returns an error. Run again
  // from the start after a serialisation failure, a deadlock or a lost connection, so it must not have other effects.
  template <class Work>
  auto write(Work work) -> std::invoke_result_t<Work, Session&> {
    return run<std::invoke_result_t<Work, Session&>>(work, true);
  }
  // The same for what only reads: a consistent snapshot.
  template <class Work>
  auto read(Work work) -> std::invoke_result_t<Work, Session&> {
    return run<std::invoke_result_t<Work, Session&>>(work, false);
  }

 protected:
  // Null `error`: commit.
  virtual Result<void> run_transaction(const std::function<Result<void>(Session&)>& work, bool writes) = 0;

 private:
  template <class R, class Work>
  R run(Work& work, bool writes) {
    if constexpr (std::same_as<R, Result<void>>) {
      return run_transaction([&](Session& session) -> Result<void> { return work(session); }, writes);
    } else {
      R result{std::unexpect, Error{}};
      auto done = run_transaction(
          [&](Session& session) -> Result<void> {
            result = work(session);
            if (!result) return fail(result.error());
            return {};
          },
          writes);
      if (!done) return fail(std::move(done.error()));
      return result;
    }
  }
};

}  // namespace llm::store
