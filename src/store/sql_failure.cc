#include "store/sql_failure.h"

#include <fmt/format.h>
#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <string>
#include <string_view>

#include "base/strings.h"

namespace llm::store {
namespace {

Error make_error(ErrorCode code, std::string_view what, std::string_view reason) {
  return Error{code, fmt::format("{}: {}", what, reason), {}, {}, code == ErrorCode::kUnavailable ? 1 : 0};
}

// The message without the statement and the values that SOCI adds to what(), on one line.
std::string reason_of(const soci::soci_error& error) {
  std::string reason = error.get_error_message();
  for (char& c : reason) {
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  }
  return std::string(trim(reason));
}

SqlFailure sqlite_failure(const soci::soci_error& error, int code) {
  const std::string reason = reason_of(error);
  SqlFailure failure;
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      failure.again = code == SQLITE_BUSY_SNAPSHOT;  // for the others SQLite has waited as long as it was told to
      failure.error = make_error(ErrorCode::kUnavailable, "the database stays locked by another program", reason);
      break;
    case SQLITE_FULL:
      failure.discard = true;
      failure.error = make_error(ErrorCode::kDiskFull, "no room for the database; free some on its disk", reason);
      break;
    case SQLITE_IOERR:
      // A failed fsync leaves it open what a power cut would bring back.
      failure.discard = true;
      failure.undone = false;
      failure.error = make_error(ErrorCode::kIo, "cannot read or write the database", reason);
      break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      failure.discard = true;
      failure.error = make_error(ErrorCode::kIo, "the database file is damaged; restore a backup", reason);
      break;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
      failure.discard = true;
      failure.error = make_error(ErrorCode::kIo, "cannot open the database for writing", reason);
      break;
    case SQLITE_TOOBIG:
      failure.error = make_error(ErrorCode::kInvalidArgument, "too big for the database", reason);
      break;
    default:
      failure.discard = code != SQLITE_CONSTRAINT;
      failure.error = make_error(ErrorCode::kInternal, "the database refused a statement", reason);
  }
  return failure;
}

SqlFailure postgres_failure(const soci::soci_error& error, std::string_view state, bool connected) {
  const std::string reason = reason_of(error);
  const auto of_class = [&](std::string_view prefix) { return state.starts_with(prefix); };
  SqlFailure failure;
  // Without a state it is the client library that speaks, not the server: the connection broke.
  if (!connected || trim(state).empty() || of_class("08") || state == "57P01" || state == "57P02" || state == "57P03") {
    failure.again = failure.lost = failure.discard = true;
    failure.undone = false;
    failure.error = make_error(ErrorCode::kUnavailable, "no connection to the database", reason);
  } else if (state == "40001" || state == "40P01") {
    failure.again = true;
    failure.error = make_error(ErrorCode::kUnavailable, "the database is too busy with the same rows", reason);
  } else if (state == "55P03" || state == "57014") {
    failure.error = make_error(ErrorCode::kUnavailable, "the database stays locked", reason);
  } else if (state == "25006") {  // a standby: after a switch the next connection may find the primary
    failure.discard = failure.lost = true;
    failure.error = make_error(ErrorCode::kUnavailable, "the database is read-only", reason);
  } else if (state == "53100") {
    failure.error = make_error(ErrorCode::kDiskFull, "no room for the database; free some on its server", reason);
  } else if (of_class("53")) {
    failure.discard = true;
    failure.error = make_error(ErrorCode::kUnavailable, "the database server is short of resources", reason);
  } else if (of_class("54")) {
    failure.error = make_error(ErrorCode::kInvalidArgument, "too big for the database", reason);
  } else if (of_class("58") || of_class("XX")) {
    failure.discard = true;
    failure.undone = false;
    failure.error = make_error(ErrorCode::kIo, "the database server cannot read or write", reason);
  } else {
    failure.error = make_error(ErrorCode::kInternal, "the database refused a statement", reason);
  }
  return failure;
}

}  // namespace

SqlFailure current_failure(Dialect dialect, soci::session* connection) {
  try {
    throw;
  } catch (const InvalidText& error) {
    return {Error{ErrorCode::kInvalidArgument, error.what(), {}, {}, 0}};
  } catch (const soci::sqlite3_soci_error& error) {
    int code = error.result();
    if (connection != nullptr) {
      auto* backend = static_cast<soci::sqlite3_session_backend*>(connection->get_backend());
      if (const int extended = sqlite_api::sqlite3_extended_errcode(backend->conn_);
          (extended & 0xff) == (code & 0xff)) {
        code = extended;
      }
    }
    return sqlite_failure(error, code);
  } catch (const soci::soci_error& error) {
    if (dialect == Dialect::kSqlite) return sqlite_failure(error, SQLITE_ERROR);
    bool connected = false;
    if (connection != nullptr) {
      auto* backend = static_cast<soci::postgresql_session_backend*>(connection->get_backend());
      connected = PQstatus(backend->conn_) == CONNECTION_OK;
    }
    const auto* with_state = dynamic_cast<const soci::postgresql_soci_error*>(&error);
    return postgres_failure(error, with_state != nullptr ? with_state->sqlstate() : std::string("?"), connected);
  }
}

}  // namespace llm::store
