#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "access/limits/leased_account.h"
#include "access/limits/supply.h"
#include "store/database.h"

namespace llm::access {

// Moves units between the database that gateways share and this gateway's accounts. Everything here blocks; any thread.
//
// A failure whose outcome is not known errs on the side of the limit: units that may have been leased are not used, and
// those that may have been returned are not used again. Rates recover by time, slots with the next heartbeat; units of
// a quota are lost to the period, at most a slice.
class SharedLimits final : public Supply {
 public:
  using Accounts = std::function<std::vector<std::shared_ptr<Account>>()>;
  SharedLimits(store::Database& database, std::string gateway, std::int64_t lease_time_ns,
               std::function<std::int64_t()> now_ns, Accounts accounts);

  Result<void> fetch(std::span<const Want> wants, std::uint64_t ticket) override;
  // Beats, pays debts, returns what is expired or idle, and corrects the slots by what the database has.
  Result<void> maintain();
  void release_all();
  // Was the last heartbeat so long ago that slots may be others' by now?
  bool stale(std::int64_t now_ns) const;
  std::int64_t lease_time_ns() const { return lease_time_ns_; }

 private:
  struct Part;
  bool slots_in_doubt(const Want& want) const;
  std::vector<std::shared_ptr<Account>> sorted_accounts() const;
  Result<void> give_back(std::span<const std::shared_ptr<Account>> accounts, bool everything);

  store::Database& database_;
  const std::string gateway_;
  const std::int64_t lease_time_ns_;
  const std::function<std::int64_t()> now_ns_;
  const Accounts accounts_;
  std::atomic<std::int64_t> beat_ns_{0};
  std::mutex maintaining_;
};

}  // namespace llm::access
