#pragma once

#include <optional>
#include <string>
#include <vector>

#include "store/directory_tables.h"
#include "store/session.h"

// Of this folder only: how rows of the directory are read, and the counter of its changes.
namespace llm::store {

// Keeps others from changing the directory until this transaction ends, so that what it reads stays true while it
// writes. Nothing for a transaction that only reads.
void lock_directory(Session& session);
// The revision that this transaction's changes get. The counter's row stays locked until the commit: revisions are
// committed in their order, and who has read revision n never meets a lower one later.
std::int64_t next_revision(Session& session);

// Which rows. None set: all. Roles that were removed are only among the changes.
struct RowFilter {
  std::optional<std::string> id = {};
  std::optional<std::int64_t> changed_after = {};
};
// Of ProjectRow, UserRow, RoleRow, KeyRow.
template <class Row>
std::vector<Row> read_rows(Session& session, const RowFilter& filter);

}  // namespace llm::store
