#pragma once

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>

#include "access/limits/local_account.h"
#include "access/limits/supply.h"
#include "store/database.h"

namespace llm::access {

// Sums of the usage table of one key, project or model ("pattern name": see LimitSets) in the day and month of `now`.
Result<QuotaAmounts> usage_so_far(store::Session& session, Scope scope, const std::string& subject, const Moment& now);

// What one gateway's quotas start from: the usage in the database, read once for all at the start; for a key that ran
// without quotas and is given one later, read when it is first needed.
class UsageSoFar final : public Supply {
 public:
  // Blocks. If the database cannot be read now, it is asked again when a quota is first needed.
  UsageSoFar(store::Database& database, std::function<std::int64_t()> now_ns);

  // Starts an account that no request has used yet. Any thread.
  void start(LocalAccount& account) const;
  Result<void> fetch(std::span<const Want> wants, std::uint64_t ticket) override;

 private:
  store::Database& database_;
  std::function<std::int64_t()> now_ns_;
  Moment read_at_;
  std::optional<std::unordered_map<std::string, QuotaAmounts>> sums_;  // by "key:id", "project:id", "model:name"
};

}  // namespace llm::access
