#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_set>
#include <vector>

#include "access/limits/account_map.h"
#include "access/limits/limit_set.h"
#include "access/limits/limiter.h"
#include "access/limits/shared_limits.h"
#include "access/limits/usage_so_far.h"
#include "async/watch.h"

namespace llm::access {

// What a limiter and its reservations share: a reservation may outlive its limiter. Any thread.
struct Limiter::State : std::enable_shared_from_this<Limiter::State> {
  State(LimiterSettings its_settings, store::Database* database, std::string gateway_id,
        std::function<std::int64_t()> its_clock);

  // nullopt: something has to be fetched first; added to `wants` if that is not null.
  std::optional<Result<Reservation>> attempt(const Principal& principal, std::string_view model, const Demand& demand,
                                             LimitReport* report, std::uint64_t ticket, std::vector<Want>* wants);
  // Leaves those wants whose account nobody else fetches for now; they are the caller's until land().
  void claim(std::vector<Want>& wants);
  void land(const std::vector<Want>& wants);

  std::shared_ptr<Account> make_account(Scope scope, std::string subject, bool fresh) const;
  std::shared_ptr<Account> address_account(const Principal& principal, const Moment& now);

  const LimiterSettings settings;
  const std::function<std::int64_t()> now_ns;
  const LimitTerms address_terms;
  std::unique_ptr<UsageSoFar> usage;     // of one gateway with a database
  std::shared_ptr<SharedLimits> shared;  // of several
  AccountMap accounts;
  AddressMap addresses;
  LimitSets sets;
  std::atomic<std::uint64_t> next_ticket{1};
  Watch<int> landed;
  // After a failure the database is left alone until then: who comes meanwhile does not wait for it to fail again.
  std::atomic<std::int64_t> down_until_ns{0};

 private:
  std::mutex mutex_;
  std::unordered_set<const Account*> fetching_;
};

// `limits` says what the address, if it is not null, is held to.
struct Reservation::State {
  std::shared_ptr<Limiter::State> limiter;
  std::shared_ptr<const LimitSet> set;
  std::shared_ptr<Account> address;
  std::vector<Hold> holds;
  std::int64_t requests = 0;
  bool keep_request = false;

  void settle(const Amounts& used);
};

}  // namespace llm::access
