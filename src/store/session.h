#pragma once

#include <cstdint>
#include <exception>
#include <initializer_list>
#include <string>
#include <string_view>

#include "store/database.h"

namespace soci {
class session;
}

// Of this folder only: what the functions of the tables see. SOCI itself is included by .cc files alone.
namespace llm::store {

enum class Dialect { kSqlite, kPostgres };

class Session {
 public:
  Session(soci::session& connection, Dialect its_dialect, bool may_write)
      : sql(connection), dialect(its_dialect), writes(may_write) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  bool postgres() const { return dialect == Dialect::kPostgres; }
  // Ends a SELECT whose rows nobody else may change until the transaction ends. SQLite has one writer anyway.
  std::string_view for_update() const { return postgres() && writes ? " FOR UPDATE" : ""; }

  soci::session& sql;
  const Dialect dialect;
  const bool writes;
  std::int64_t revision = 0;      // of the directory, that this transaction's changes get; 0: none taken yet
  bool directory_locked = false;  // nobody else changes the directory until this transaction ends
};

// Thrown by require_text(); becomes kInvalidArgument where the transaction ends.
struct InvalidText : std::exception {
  const char* what() const noexcept override { return "a text holds a NUL byte or is not UTF-8"; }
};
bool storable(std::string_view value);
// Throws unless all can be stored. PostgreSQL takes neither NUL bytes nor anything but UTF-8, and SOCI would cut the
// text at the NUL, so that "a\0b" would find the row "a". A statement of its own, before that of SOCI: something thrown
// within SOCI's comma list ends the process, as the half-made statement is run by its destructor.
void require_text(std::initializer_list<const std::string*> values);

// Bytes in a text column.
std::string to_hex(std::string_view bytes);
std::string from_hex(std::string_view digits);  // of to_hex()'s making

// Waits until no other transaction holds the same name, and holds it until this one ends. PostgreSQL; SQLite has one
// writer.
void lock_name(Session& session, std::string_view kind, const std::string& name);

// The database's clock: that of PostgreSQL's host, of this process with SQLite. Nanoseconds since 1970.
std::int64_t clock_ns(Session& session);

}  // namespace llm::store
