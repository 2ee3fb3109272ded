#include "store/migrate.h"

#include <ctime>
#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <soci/soci.h>
#include <sys/stat.h>
#include <unistd.h>

namespace llm::store {
namespace {

constexpr std::int64_t kMigrationLock = 0x6c6c6d6d6370;  // "llmmcp": PostgreSQL's advisory lock

std::string in_dialect(std::string_view sql, Dialect dialect) {
  std::string result(sql);
  const auto replace = [&](std::string_view mark, std::string_view by) {
    for (auto at = result.find(mark); at != std::string::npos; at = result.find(mark))
      result.replace(at, mark.size(), by);
  };
  const bool postgres = dialect == Dialect::kPostgres;
  replace("{text}", postgres ? "text COLLATE \"C\"" : "TEXT");
  replace("{id}", postgres ? "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY" : "INTEGER PRIMARY KEY AUTOINCREMENT");
  return result;
}

// 0: an empty database; -1: one with tables of somebody else's.
std::int64_t schema_version(soci::session& sql, Dialect dialect) {
  std::int64_t ours = 0;
  std::int64_t all = 0;
  if (dialect == Dialect::kPostgres) {
    sql << "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'schema_version'",
        soci::into(ours);
  } else {
    sql << "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'", soci::into(ours);
    sql << "SELECT count(*) FROM sqlite_master", soci::into(all);
  }
  if (ours == 0) return all == 0 ? 0 : -1;
  std::int64_t version = 0;
  sql << "SELECT coalesce(max(version), 0) FROM schema_version", soci::into(version);
  return version;
}

std::string utc_now() {
  return fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(std::time(nullptr)));
}

Result<void> sync_file(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return fail(errno_error(errno, fmt::format("cannot open {}", path.string())));
  const int synced = ::fsync(file);
  const int error = errno;
  ::close(file);
  if (synced != 0) return fail(errno_error(error, fmt::format("cannot sync {}", path.string())));
  return {};
}

// A whole copy, under its name only once it is complete and on disk. Another connection holds the write lock.
Result<void> back_up_sqlite(const Backend& backend, const DatabaseSettings& settings, std::int64_t version) {
  auto sql = backend.open(true);
  std::int64_t number = 0;
  std::string schema;
  std::string file;
  *sql << "PRAGMA database_list", soci::into(number), soci::into(schema), soci::into(file);
  const auto folder = settings.backups.empty() ? std::filesystem::path(file).parent_path() : settings.backups;
  std::error_code error;
  if (std::filesystem::create_directories(folder, error)) {
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  }
  const std::string name = fmt::format("llm-mcp-{}-{}", version, utc_now());
  auto target = folder / (name + ".db");
  for (int i = 2; std::filesystem::exists(target, error); ++i) target = folder / fmt::format("{}-{}.db", name, i);
  const auto partial = std::filesystem::path(target.string() + ".partial");
  std::filesystem::remove(partial, error);
  const int made = ::open(partial.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (made < 0) {
    return fail(
        errno_error(errno, fmt::format("cannot back up the database before its migration to {}", partial.string())));
  }
  ::close(made);
  const std::string partial_name = partial.string();
  *sql << "VACUUM INTO :file", soci::use(partial_name);
  if (auto synced = sync_file(partial); !synced) return synced;
  std::filesystem::rename(partial, target, error);
  if (error) return fail(errno_error(error.value(), fmt::format("cannot rename {}", partial.string())));
  return sync_file(folder);
}

// The tables as they are, in a schema of their own; part of the migration's transaction.
void back_up_postgres(soci::session& sql, std::int64_t version) {
  std::vector<std::string> tables(1000);
  sql << "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename", soci::into(tables);
  const auto quoted = [](const std::string& name) {
    std::string result = "\"";
    for (const char c : name) result += c == '"' ? std::string("\"\"") : std::string(1, c);
    return result + "\"";
  };
  std::string now = utc_now();
  for (char& c : now) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const std::string schema = quoted(fmt::format("llm_mcp_backup_{}_{}", version, now));
  sql << "CREATE SCHEMA " + schema;
  for (const auto& table : tables) {
    sql << fmt::format("CREATE TABLE {}.{} AS TABLE {}", schema, quoted(table), quoted(table));
  }
}

Result<void> check(std::int64_t version, std::int64_t last) {
  if (version < 0) {
    return fail(ErrorCode::kConflict, "the database file holds tables of another program; name another file");
  }
  if (version <= last) return {};
  return fail(ErrorCode::kConflict,
              fmt::format("the database has schema {}, this program knows {}: it was used by a newer version of "
                          "llm-mcp; run that one, or restore the backup that it made",
                          version, last));
}

void take_lock(soci::session& sql, const Backend& backend) {
  if (backend.dialect == Dialect::kPostgres) {
    sql << "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
    sql << "SET LOCAL lock_timeout = 0";
    sql << "SELECT pg_advisory_xact_lock(:lock)", soci::use(kMigrationLock);
  } else {
    sql << "PRAGMA busy_timeout = 600000";  // as long as another program's migration takes
    sql << "BEGIN IMMEDIATE";
  }
}

void apply(soci::session& sql, Dialect dialect, const Migration& step) {
  for (const auto& statement : step.statements) {
    if (!statement.only || *statement.only == dialect) sql << in_dialect(statement.sql, dialect);
  }
  const std::int64_t now = static_cast<std::int64_t>(std::time(nullptr)) * 1000;
  const std::string program = LLM_MCP_VERSION;
  sql << "INSERT INTO schema_version (version, applied, program) VALUES (:version, :applied, :program)",
      soci::use(step.version), soci::use(now), soci::use(program);
}

Result<void> migrate_with(soci::session& sql, const Backend& backend, const DatabaseSettings& settings,
                          std::span<const Migration> steps) {
  const std::int64_t last = steps.empty() ? 0 : steps.back().version;
  std::int64_t version = schema_version(sql, backend.dialect);
  if (version == last) return {};
  if (auto fits = check(version, last); !fits) return fits;
  take_lock(sql, backend);
  version = schema_version(sql, backend.dialect);  // somebody may have been quicker
  if (auto fits = check(version, last); !fits) return fits;
  if (version == last) return {};
  if (version == 0) {
    sql << in_dialect(
        "CREATE TABLE schema_version (version BIGINT PRIMARY KEY, applied BIGINT NOT NULL, "
        "program {text} NOT NULL)",
        backend.dialect);
  } else if (backend.dialect == Dialect::kPostgres) {
    back_up_postgres(sql, version);
  } else if (auto done = back_up_sqlite(backend, settings, version); !done) {
    return done;
  }
  for (const Migration& step : steps) {
    if (step.version > version) apply(sql, backend.dialect, step);
  }
  sql << "COMMIT";
  return {};
}

}  // namespace

Result<void> migrate(const Backend& backend, const DatabaseSettings& settings, std::span<const Migration> steps) {
  std::unique_ptr<soci::session> sql;
  try {
    sql = backend.open(true);
    return migrate_with(*sql, backend, settings, steps);  // what is not committed ends with the connection
  } catch (...) {
    Error error = current_failure(backend.dialect, sql.get()).error;
    error.message = fmt::format("{} ({})", error.message, backend.description);
    return fail(std::move(error));
  }
}

}  // namespace llm::store
