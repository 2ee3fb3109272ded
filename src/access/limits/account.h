#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "access/limits/limiter.h"
#include "access/limits/terms.h"

namespace llm::access {

// Why a request may not run now.
struct Refusal {
  Scope scope = Scope::kKey;
  LimitKind kind = LimitKind::kRequests;
  std::int64_t limit = 0;
  std::int64_t window_ms = 0;         // of a rate
  std::int64_t wait_ns = 0;           // until it may
  std::int64_t left = 0;              // of a quota
  std::int64_t needed = 0;            // by this request
  std::int64_t period_end_ms = 0;     // of a quota
  const std::string* name = nullptr;  // of the key, project …; set by who knows it
};

// What an account says to a request: no refusal and nothing missing means it may.
struct Check {
  std::optional<Refusal> refusal;  // of several, the one with the longest wait
  std::uint32_t missing = 0;       // bits by LimitKind: counts that have to be fetched from the database first

  void refuse(Refusal one) {
    if (!refusal || one.wait_ns > refusal->wait_ns) refusal = one;
  }
  void miss(LimitKind kind) { missing |= 1U << static_cast<unsigned>(kind); }
};
inline bool misses(std::uint32_t missing, LimitKind kind) {
  return (missing & (1U << static_cast<unsigned>(kind))) != 0;
}

class Account;

// What a reservation has of one account.
struct Hold {
  struct Rate {
    bool taken = false;
    std::int64_t units = 0;
    std::uint64_t arrival = 0;    // of a count in memory: its number in the Gcra
    std::int64_t mark_ns = 0;     // of leased units: see store::return_rate
    std::int64_t expires_ns = 0;  // of leased units: when they may no longer be used
  };
  Account* account = nullptr;
  std::array<Rate, kRateKinds> rates{};
  std::array<bool, kQuotaKinds> quotas_taken{};
  QuotaAmounts quotas{};
  std::array<std::int64_t, 2> periods{};
  bool slot = false;  // among the concurrent ones
};

// The counts of one key, project, model or address. Its owner holds `mutex` around every call.
class Account {
 public:
  Account(Scope its_scope, std::string its_subject) : scope(its_scope), subject(std::move(its_subject)) {}
  Account(const Account&) = delete;
  Account& operator=(const Account&) = delete;
  virtual ~Account() = default;

  const Scope scope;
  const std::string subject;
  std::mutex mutex;

  // May this run now? `ticket`: see LeasedAccount; 0 for who has fetched nothing.
  virtual void check(const LimitTerms& terms, const Amounts& demand, const Moment& now, std::uint64_t ticket,
                     Check& check) = 0;
  // Takes what check() found to be there.
  virtual void take(const LimitTerms& terms, const Amounts& demand, const Moment& now, std::uint64_t ticket,
                    Hold& hold) = 0;
  // The true counts. What was held beyond them goes back, what they exceed it by is charged.
  virtual void settle(const Hold& hold, const Amounts& used, const Moment& now) = 0;
  virtual void report(const LimitTerms& terms, const Moment& now, LimitReport& report) = 0;
  // Tokens that an answer may have at most; `most` is lowered to it.
  virtual void limit_output(const LimitTerms& terms, const Moment& now, std::optional<std::int64_t>& most) = 0;
  // Requests go by without being counted from now on: there is no limit any more.
  virtual void pass_by() {}
  // Is it as good as a new one?
  virtual bool idle(const Moment& now) = 0;
};

// What a limit counts at once at most. A demand is an upper bound, and one above this would never be granted.
inline std::int64_t clamped(std::int64_t demand, const RateTerms& terms) {
  return demand < terms.burst ? demand : terms.burst;
}

// For an answer without max_tokens where it is not known yet what a quota has left.
inline constexpr std::int64_t kBlindOutput = 1024;

// Lowers `standing` to that of another limit of the same kind, if that is tighter.
void tighten(LimitStanding& standing, const LimitStanding& other);

}  // namespace llm::access
