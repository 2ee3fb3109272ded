#include <fcntl.h>
#include <fmt/format.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "store/sql_database.h"

namespace llm::store {
namespace {

// Makes the file before SQLite does: nobody but the owner may read it, and SQLite gives -wal and -shm the same mode.
Result<void> make_private_file(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) return fail(errno_error(error.value(), fmt::format("cannot make {}", path.parent_path().string())));
  const bool there = std::filesystem::exists(path, error);
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) {
    Error failure = errno_error(errno, fmt::format("cannot open the database {}", path.string()));
    if (failure.code != ErrorCode::kDiskFull) failure.code = ErrorCode::kIo;
    return fail(std::move(failure));
  }
  struct stat status{};
  const bool open_to_others = ::fstat(file, &status) == 0 && (status.st_mode & 077) != 0;
  const bool mended = !open_to_others || ::fchmod(file, 0600) == 0;
  const bool regular = S_ISREG(status.st_mode);
  ::close(file);
  if (!regular) return fail(ErrorCode::kInvalidArgument, fmt::format("{} is not a file", path.string()));
  if (!mended) {
    return fail(ErrorCode::kIo, fmt::format("others may read the database {}: chmod 600 it", path.string()));
  }
  if (there) return {};
  // The file's name must survive a power cut as well.
  if (const int folder = ::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
  return {};
}

std::unique_ptr<soci::session> open_connection(const std::string& path, std::chrono::milliseconds patience,
                                               bool may_write) {
  auto sql = std::make_unique<soci::session>(soci::sqlite3, fmt::format("dbname=\"{}\"", path));
  auto* connection = static_cast<soci::sqlite3_session_backend*>(sql->get_backend())->conn_;
  sqlite_api::sqlite3_busy_timeout(connection, static_cast<int>(patience.count()));
  // Two that make the same file WAL at once: one of them is told "locked" without having waited.
  const auto until = std::chrono::steady_clock::now() + patience;
  for (bool done = false; !done;) {
    try {
      *sql << "PRAGMA journal_mode = WAL";
      done = true;
    } catch (const soci::sqlite3_soci_error& error) {
      if ((error.result() & 0xff) != SQLITE_BUSY || std::chrono::steady_clock::now() > until) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
  *sql << "PRAGMA synchronous = FULL";
  *sql << "PRAGMA foreign_keys = ON";
  *sql << "PRAGMA trusted_schema = OFF";
  *sql << "PRAGMA journal_size_limit = 67108864";
  if (!may_write) *sql << "PRAGMA query_only = ON";
  return sql;
}

}  // namespace

Result<Backend> sqlite_backend(const DatabaseSettings& settings) {
  const std::string name = settings.url.substr(std::string_view("sqlite:").size());
  if (name.empty() || name == ":memory:") {
    return fail(ErrorCode::kInvalidArgument, "the database's URL names no file: sqlite:/path/to/file.db");
  }
  if (name.find('"') != std::string::npos || !storable(name)) {
    return fail(ErrorCode::kInvalidArgument, "the database's path must be UTF-8 and hold no quotation mark");
  }
  std::error_code error;
  const auto path = std::filesystem::absolute(name, error);
  if (error) return fail(errno_error(error.value(), "cannot find the working directory"));
  if (auto made = make_private_file(path); !made) return fail(std::move(made.error()));
  Backend backend;
  backend.dialect = Dialect::kSqlite;
  backend.description = fmt::format("SQLite {}", path.string());
  backend.begin_write = "BEGIN IMMEDIATE";
  backend.begin_read = "BEGIN";
  backend.readers = std::max<std::size_t>(settings.connections, 1);
  backend.writers = 1;
  backend.patience = settings.busy_timeout;
  backend.open = [path = path.string(), patience = settings.busy_timeout](bool may_write) {
    return open_connection(path, patience, may_write);
  };
  return backend;
}

}  // namespace llm::store
