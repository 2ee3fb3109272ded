#pragma once

#include <span>

#include "store/migrations.h"
#include "store/sql_database.h"

namespace llm::store {

// Brings the schema up to the last of `steps`, in one transaction, alone among all programs that try. An existing
// database is copied first: SQLite into a file of `settings.backups`, PostgreSQL into a schema of the same database.
// kConflict for a newer schema, and for a database that belongs to another program.
Result<void> migrate(const Backend& backend, const DatabaseSettings& settings, std::span<const Migration> steps);

}  // namespace llm::store
