#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "store/session.h"

namespace llm::store {

// One step of the schema. Steps only go forwards, and one that was released is never changed again.
struct Migration {
  struct Statement {
    std::string_view sql;  // {text}, {id}: a text column, a key that counts by itself, as the dialect says it
    std::optional<Dialect> only = {};  // of one dialect
  };
  std::int64_t version = 0;  // 1, 2, …
  std::vector<Statement> statements;
};
const std::vector<Migration>& migrations();

}  // namespace llm::store
