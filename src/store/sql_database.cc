#include "store/sql_database.h"

#include <algorithm>
#include <fmt/format.h>
#include <soci/soci.h>
#include <thread>
#include <utility>

#include "store/migrate.h"

namespace llm::store {
namespace {

constexpr int kAttempts = 10;

// Transactions that met in the database should not meet again at once.
void back_off(int attempt) {
  const auto spread = std::hash<std::thread::id>{}(std::this_thread::get_id()) % 7;
  std::this_thread::sleep_for(std::chrono::microseconds((500 + 300 * spread) * static_cast<unsigned>(attempt)));
}

}  // namespace

SqlDatabase::SqlDatabase(Backend backend)
    : backend_(std::move(backend)),
      readers_(backend_.readers, backend_.patience, [this] { return backend_.open(backend_.writers == 0); }) {
  if (backend_.writers > 0) {
    writer_.emplace(backend_.writers, backend_.patience, [this] { return backend_.open(true); });
  }
}

Result<void> SqlDatabase::run_transaction(const std::function<Result<void>(Session&)>& work, bool writes) {
  for (int number = 1;; ++number) {
    Attempt done = attempt(work, writes);
    if (!done.again || number == kAttempts) return std::move(done.result);
    back_off(number);
  }
}

SqlDatabase::Attempt SqlDatabase::attempt(const std::function<Result<void>(Session&)>& work, bool writes) {
  ConnectionPool& pool = writes && writer_ ? *writer_ : readers_;
  std::optional<ConnectionPool::Lease> lease;
  bool committing = false;
  try {
    auto acquired = pool.acquire();
    if (!acquired) return {fail(std::move(acquired.error()))};
    lease.emplace(std::move(*acquired));
    soci::session& sql = **lease;
    sql << (writes ? backend_.begin_write : backend_.begin_read);
    Session session(sql, backend_.dialect, writes);
    Result<void> result = work(session);
    if (!result) {
      sql << "ROLLBACK";
      return {std::move(result)};
    }
    committing = true;
    sql << "COMMIT";
    return {};
  } catch (...) {
    const bool reading_done = committing && !writes;  // the picture was complete and consistent
    Attempt attempt = failed(lease ? &*lease : nullptr, pool, committing);
    if (reading_done) return {};
    return attempt;
  }
}

// In a catch block.
SqlDatabase::Attempt SqlDatabase::failed(ConnectionPool::Lease* lease, ConnectionPool& pool, bool committing) {
  SqlFailure failure;
  try {
    failure = current_failure(backend_.dialect, lease != nullptr ? &**lease : nullptr);
  } catch (...) {  // not the database's, but the transaction must end all the same
    if (lease != nullptr) lease->discard();
    throw;
  }
  if (lease == nullptr) return {fail(std::move(failure.error))};  // could not connect: whoever asks again decides
  if (!failure.discard) {
    try {
      **lease << "ROLLBACK";
    } catch (const soci::soci_error&) {
      // SQLite ends the transaction itself after some errors and then has none to roll back.
      failure.discard = true;
    }
  }
  if (failure.discard) lease->discard();
  if (failure.lost) pool.close_idle();
  if (committing && !failure.undone) {
    failure.error.message += "; it is not known whether the change was kept";
    failure.error.details.push_back({"outcome", "unknown"});
    return {fail(std::move(failure.error))};
  }
  return {fail(std::move(failure.error)), failure.again};
}

Result<std::unique_ptr<Database>> open_database(const DatabaseSettings& settings, std::span<const Migration> steps) {
  Result<Backend> backend =
      fail(ErrorCode::kInvalidArgument, "the database's URL must begin with sqlite:, postgresql:// or postgres://");
  if (settings.url.starts_with("sqlite:")) backend = sqlite_backend(settings);
  if (settings.url.starts_with("postgresql://") || settings.url.starts_with("postgres://")) {
    backend = postgres_backend(settings);
  }
  if (!backend) return fail(std::move(backend.error()));
  if (auto migrated = migrate(*backend, settings, steps); !migrated) return fail(std::move(migrated.error()));
  return std::make_unique<SqlDatabase>(std::move(*backend));
}

Result<std::unique_ptr<Database>> Database::open(DatabaseSettings settings) {
  return open_database(settings, migrations());
}

}  // namespace llm::store
