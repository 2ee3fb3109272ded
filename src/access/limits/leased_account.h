#pragma once

#include <optional>
#include <string>
#include <vector>

#include "access/limits/account.h"

namespace llm::access {

// How a rate is leased from the database that gateways share. Units are used up to `hold_ns` after they were leased, so
// the database grants a burst that is smaller by what the rate grants in that time: in any stretch d there are then at
// most burst' + (d + hold) × rate = burst + d × rate of them, over all gateways. Where that would leave little of the
// burst, units are not held: each request gets its own from the database (`hold_ns` 0).
struct LeaseTerms {
  std::int64_t interval_ns = 1;  // of a unit, rounded up
  std::int64_t burst = 1;        // that the database grants
  std::int64_t hold_ns = 0;

  static LeaseTerms of(const RateTerms& terms, std::int64_t lease_time_ns);
  std::int64_t burst_ns() const { return burst * interval_ns; }
  std::int64_t most_held() const { return burst / 4; }  // by one gateway, beyond what a request needs now
};

// What is to be asked of the database for one count, and what it said.
struct RatePlan {
  std::size_t rate = 0;
  LeaseTerms terms;
  std::int64_t debt = 0;    // used already: taken whether it is there or not
  std::int64_t needed = 0;  // else nothing is kept
  std::int64_t wanted = 0;  // at least `needed`
  std::int64_t granted = 0;
  std::int64_t wait_ns = 0;
  std::int64_t left = 0;
  std::int64_t mark_ns = 0;
};
struct QuotaPlan {
  std::size_t quota = 0;
  std::int64_t period = 0;
  std::int64_t most = 0;
  bool start = false;  // first time here: what was used before there was a quota has to be in it
  std::int64_t debt = 0;
  std::int64_t needed = 0;
  std::int64_t wanted = 0;  // at least `needed`; more only as a small share of what is left
  std::int64_t granted = 0;
  std::int64_t left = 0;
};
struct SlotPlan {
  std::int64_t most = 0;
  std::int64_t wanted = 0;
  std::int64_t granted = 0;
};
struct LeasePlan {
  std::vector<RatePlan> rates;
  std::vector<QuotaPlan> quotas;
  std::optional<SlotPlan> slots;
};

// What goes back to the database.
struct RateReturn {
  std::size_t rate = 0;
  std::int64_t interval_ns = 1;
  std::int64_t units = 0;
  std::int64_t mark_ns = 0;
};
struct QuotaReturn {
  std::size_t quota = 0;
  std::int64_t period = 0;
  std::int64_t units = 0;
};
struct LeaseReturns {
  std::vector<RateReturn> rates;
  std::vector<QuotaReturn> quotas;
  std::int64_t slots = 0;
  LeasePlan debts;
  bool empty() const {
    return rates.empty() && quotas.empty() && slots == 0 && debts.rates.empty() && debts.quotas.empty();
  }
};

// The part of the shared counts that this gateway holds. Requests are served from it without asking the database; when
// it does not suffice, check() says what is missing, and SharedLimits gets it. Units of a limit that holds none
// (LeaseTerms) belong to the one request that fetched them, by its ticket.
class LeasedAccount final : public Account {
 public:
  LeasedAccount(Scope its_scope, std::string its_subject, std::int64_t lease_time_ns)
      : Account(its_scope, std::move(its_subject)), lease_time_ns_(lease_time_ns) {}

  void check(const LimitTerms& terms, const Amounts& demand, const Moment& now, std::uint64_t ticket,
             Check& check) override;
  void take(const LimitTerms& terms, const Amounts& demand, const Moment& now, std::uint64_t ticket,
            Hold& hold) override;
  void settle(const Hold& hold, const Amounts& used, const Moment& now) override;
  void report(const LimitTerms& terms, const Moment& now, LimitReport& report) override;
  void limit_output(const LimitTerms& terms, const Moment& now, std::optional<std::int64_t>& most) override;
  bool idle(const Moment& now) override;

  LeasePlan plan(const LimitTerms& terms, const Amounts& demand, const Moment& now, std::uint64_t ticket,
                 std::uint32_t missing);
  // What came of it, unless it failed. `asked_ns`: when, before the database was asked.
  void apply(const LeasePlan& plan, std::uint64_t ticket, std::int64_t asked_ns, const Moment& now);
  void abandon(const LeasePlan& plan);
  // Takes out what is to go back: expired, idle or, with `everything`, all that no request uses. And the debts.
  LeaseReturns collect(const Moment& now, bool everything);
  // The same units again, after a failure that surely left the database as it was.
  void restore(const LeaseReturns& returns);
  // The slots that the database has for this gateway, read after everything that changed them until `seen` was there.
  // Of no effect if something changed or asks for them meanwhile.
  void correct_slots(std::int64_t held, std::uint64_t seen);
  std::uint64_t slot_changes() const { return slot_changes_; }
  // The heartbeat is too old: others may have been given the slots. Until they are corrected, none is free.
  void doubt_slots() { slots_doubted_ = slots_held_ > 0; }
  bool slots_doubted() const { return slots_doubted_; }
  bool holds_slots() const { return slots_held_ > 0 || slots_asked_; }

 private:
  struct Slice {
    std::int64_t units = 0;
    std::int64_t expires_ns = 0;
    std::int64_t mark_ns = 0;
    std::uint64_t ticket = 0;  // 0: anybody's
    std::int64_t interval_ns = 1;
  };
  struct RatePool {
    std::vector<Slice> slices;
    std::vector<RateReturn> returns;
    LeaseTerms terms;  // as last used
    std::int64_t debt = 0;
    std::int64_t taken = 0;  // since fetched_ns: how much the next slice should be
    std::int64_t fetched_ns = 0;
    std::int64_t left = 0;  // in the database, as far as known
    std::int64_t empty_until_ns = 0;
    std::int64_t empty_for = 0;  // demands of so many units
  };
  struct QuotaPool {
    std::int64_t period = 0;
    std::int64_t have = 0;
    std::int64_t debt = 0;
    std::int64_t taken = 0;
    std::int64_t fetched_ns = 0;
    std::int64_t touched_ns = 0;
    std::int64_t left = -1;  // in the database; -1: not known yet
    std::int64_t empty_until_ns = 0;
    bool started = false;
  };
  std::int64_t units_for(const RatePool& pool, const Moment& now, std::uint64_t ticket) const;
  void check_quota(std::size_t quota, std::int64_t limit, std::int64_t needed, const Moment& now, Check& check);
  static void add_slice(RatePool& pool, const Slice& slice);
  void turn(const Moment& now);
  std::int64_t next_slice(std::int64_t taken, std::int64_t since_ns, const Moment& now) const;

  const std::int64_t lease_time_ns_;
  std::array<RatePool, kRateKinds> rates_{};
  std::array<QuotaPool, kQuotaKinds> quotas_{};
  std::int64_t slots_held_ = 0;
  std::int64_t slots_used_ = 0;
  std::int64_t slots_most_ = 0;
  std::int64_t slots_empty_until_ns_ = 0;
  std::uint64_t slot_changes_ = 0;  // of what the database has
  bool slots_asked_ = false;        // the database is being asked for some
  bool slots_doubted_ = false;
};

}  // namespace llm::access
