#include "access/limits/leased_account.h"

#include <algorithm>
#include <limits>

#include "access/limits/period.h"

namespace llm::access {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
// How long "there is none" from the database is believed, where it cannot say when there will be.
constexpr std::int64_t kBelieveNs = kSecondNs / 10;
// A smaller burst is not cut: its units are fetched one by one.
constexpr std::int64_t kLeastHeldBurst = 8;

std::int64_t quota_end_ms(std::size_t quota, std::int64_t period) {
  return period_end_ms(monthly(quota) ? Period::kMonth : Period::kDay, period);
}

}  // namespace

LeaseTerms LeaseTerms::of(const RateTerms& terms, std::int64_t lease_time_ns) {
  LeaseTerms out;
  out.interval_ns = (terms.window_ns + terms.count - 1) / terms.count;
  constexpr std::int64_t kMostNs = std::numeric_limits<std::int64_t>::max() / 4;
  out.burst = std::min(terms.burst, kMostNs / out.interval_ns);
  if (terms.burst < kLeastHeldBurst) return out;
  // At most a quarter of the burst goes to the holding.
  out.hold_ns = std::min<std::int64_t>(lease_time_ns, terms.ns_of(terms.cost(terms.burst) / 4));
  const auto given = static_cast<std::int64_t>((terms.ticks(out.hold_ns) + terms.window_ns - 1) / terms.window_ns);
  out.burst = std::min(terms.burst - given, kMostNs / out.interval_ns);
  if (out.burst < 1) out = {.interval_ns = out.interval_ns, .burst = terms.burst, .hold_ns = 0};
  return out;
}

std::int64_t LeasedAccount::units_for(const RatePool& pool, const Moment& now, std::uint64_t ticket) const {
  std::int64_t units = 0;
  for (const Slice& slice : pool.slices) {
    const bool mine = slice.ticket != 0 && slice.ticket == ticket;
    if (mine || (slice.ticket == 0 && slice.expires_ns > now.ns)) units += slice.units;
  }
  return units;
}

// Of one lease there is one slice, however often its units come and go.
void LeasedAccount::add_slice(RatePool& pool, const Slice& slice) {
  const auto same = [&](const Slice& one) {
    return one.expires_ns == slice.expires_ns && one.mark_ns == slice.mark_ns && one.ticket == slice.ticket &&
           one.interval_ns == slice.interval_ns;
  };
  const auto found = std::ranges::find_if(pool.slices, same);
  if (found == pool.slices.end()) {
    pool.slices.push_back(slice);
  } else {
    found->units += slice.units;
  }
}

// Of a past period nothing is owed and nothing is left.
void LeasedAccount::turn(const Moment& now) {
  for (std::size_t i = 0; i < kQuotaKinds; ++i) {
    if (now.period(i) > quotas_[i].period) quotas_[i] = {.period = now.period(i)};
  }
}

void LeasedAccount::check(const LimitTerms& terms, const Amounts& demand, const Moment& now, std::uint64_t ticket,
                          Check& check) {
  for (std::size_t i = 0; i < kRateKinds; ++i) {
    if (!terms.rates[i]) continue;
    RatePool& pool = rates_[i];
    pool.terms = LeaseTerms::of(*terms.rates[i], lease_time_ns_);
    const std::int64_t units = std::min(demand.rates[i], pool.terms.burst);
    if (units == 0 || (pool.debt == 0 && units_for(pool, now, ticket) >= units)) continue;
    const auto kind = static_cast<LimitKind>(i);
    if (pool.empty_until_ns > now.ns && units >= pool.empty_for) {
      check.refuse({.scope = scope,
                    .kind = kind,
                    .limit = terms.rates[i]->count,
                    .window_ms = terms.rates[i]->window_ns / 1'000'000,
                    .wait_ns = pool.empty_until_ns - now.ns});
    } else {
      check.miss(kind);
    }
  }
  if (terms.concurrent >= 0) {
    slots_most_ = terms.concurrent;
    if (slots_doubted_ || slots_held_ <= slots_used_) {
      if (slots_empty_until_ns_ > now.ns) {
        check.refuse({.scope = scope, .kind = LimitKind::kConcurrent, .limit = terms.concurrent, .wait_ns = kSecondNs});
      } else {
        check.miss(LimitKind::kConcurrent);
      }
    }
  }
  if (!terms.has_quotas) return;
  turn(now);
  for (std::size_t i = 0; i < kQuotaKinds; ++i) {
    if (terms.quotas[i] >= 0) check_quota(i, terms.quotas[i], std::max<std::int64_t>(1, demand.quota(i)), now, check);
  }
}

void LeasedAccount::check_quota(std::size_t quota, std::int64_t limit, std::int64_t needed, const Moment& now,
                                Check& check) {
  const QuotaPool& pool = quotas_[quota];
  if (pool.started && pool.debt == 0 && pool.have >= needed) return;
  const std::int64_t left = pool.have + std::max<std::int64_t>(0, pool.left);
  if (pool.empty_until_ns <= now.ns || needed <= left) return check.miss(quota_kind(quota));
  const std::int64_t end_ms = quota_end_ms(quota, pool.period);
  check.refuse({.scope = scope,
                .kind = quota_kind(quota),
                .limit = limit,
                .wait_ns = end_ms * 1'000'000 - now.ns,
                .left = left,
                .needed = needed,
                .period_end_ms = end_ms});
}

void LeasedAccount::take(const LimitTerms& terms, const Amounts& demand, const Moment& now, std::uint64_t ticket,
                         Hold& hold) {
  hold.account = this;
  if (terms.concurrent >= 0) {
    hold.slot = true;
    ++slots_used_;
  }
  for (std::size_t i = 0; i < kRateKinds; ++i) {
    if (!terms.rates[i]) continue;
    RatePool& pool = rates_[i];
    Hold::Rate& held = hold.rates[i];
    held = {.taken = true,
            .units = std::min(demand.rates[i], pool.terms.burst),
            .mark_ns = std::numeric_limits<std::int64_t>::max(),
            .expires_ns = std::numeric_limits<std::int64_t>::max()};
    pool.taken += held.units;
    std::int64_t rest = held.units;
    for (const bool own : {true, false}) {
      for (Slice& slice : pool.slices) {
        const bool usable =
            own ? slice.ticket != 0 && slice.ticket == ticket : slice.ticket == 0 && slice.expires_ns > now.ns;
        if (!usable || rest == 0 || slice.units == 0) continue;
        const std::int64_t units = std::min(rest, slice.units);
        slice.units -= units;
        rest -= units;
        held.mark_ns = std::min(held.mark_ns, slice.mark_ns);
        held.expires_ns = std::min(held.expires_ns, slice.expires_ns);
      }
    }
    std::erase_if(pool.slices, [](const Slice& slice) { return slice.units == 0; });
  }
  for (std::size_t i = 0; i < kQuotaKinds; ++i) {
    if (terms.quotas[i] < 0) continue;
    hold.quotas_taken[i] = true;
    hold.quotas[i] = demand.quota(i);
    quotas_[i].have -= hold.quotas[i];
    quotas_[i].taken += hold.quotas[i];
    quotas_[i].touched_ns = now.ns;
  }
  hold.periods = now.periods;
}

void LeasedAccount::settle(const Hold& hold, const Amounts& used, const Moment& now) {
  if (hold.slot) --slots_used_;
  for (std::size_t i = 0; i < kRateKinds; ++i) {
    const Hold::Rate& held = hold.rates[i];
    if (!held.taken) continue;
    RatePool& pool = rates_[i];
    const std::int64_t unused = held.units - used.rates[i];
    if (unused > 0 && held.expires_ns > now.ns) {
      add_slice(pool, {unused, held.expires_ns, held.mark_ns, 0, pool.terms.interval_ns});
    } else if (unused > 0) {
      pool.returns.push_back({i, pool.terms.interval_ns, unused, held.mark_ns});
    } else {
      pool.debt -= unused;
    }
  }
  turn(now);
  for (std::size_t i = 0; i < kQuotaKinds; ++i) {
    QuotaPool& pool = quotas_[i];
    if (!hold.quotas_taken[i] || hold.periods[i % 2] != pool.period) continue;
    pool.have += hold.quotas[i] - used.quota(i);
    if (pool.have < 0) {
      pool.debt -= pool.have;
      pool.have = 0;
    }
  }
}

// As much as was used lately in half the time that units may be held.
std::int64_t LeasedAccount::next_slice(std::int64_t taken, std::int64_t since_ns, const Moment& now) const {
  const std::int64_t elapsed = std::max<std::int64_t>(now.ns - since_ns, 1'000'000);
  return static_cast<std::int64_t>(static_cast<Wide>(taken) * lease_time_ns_ / 2 / elapsed);
}

LeasePlan LeasedAccount::plan(const LimitTerms& terms, const Amounts& demand, const Moment& now, std::uint64_t ticket,
                              std::uint32_t missing) {
  LeasePlan plan;
  for (std::size_t i = 0; i < kRateKinds; ++i) {
    if (!terms.rates[i] || !misses(missing, static_cast<LimitKind>(i))) continue;
    const RatePool& pool = rates_[i];
    RatePlan one{.rate = i, .terms = LeaseTerms::of(*terms.rates[i], lease_time_ns_), .debt = pool.debt};
    const std::int64_t units = std::min(demand.rates[i], one.terms.burst);
    one.needed = std::max<std::int64_t>(0, units - units_for(pool, now, ticket));
    one.wanted = one.needed;
    if (one.terms.hold_ns > 0) {
      one.wanted = std::max(one.needed, std::min(next_slice(pool.taken, pool.fetched_ns, now), one.terms.most_held()));
    }
    plan.rates.push_back(one);
  }
  for (std::size_t i = 0; i < kQuotaKinds; ++i) {
    if (terms.quotas[i] < 0 || !misses(missing, quota_kind(i))) continue;
    const QuotaPool& pool = quotas_[i];
    const std::int64_t needed = std::max<std::int64_t>(1, demand.quota(i)) - pool.have;
    plan.quotas.push_back({.quota = i,
                           .period = pool.period,
                           .most = terms.quotas[i],
                           .start = !pool.started,
                           .debt = pool.debt,
                           .needed = std::max<std::int64_t>(0, needed),
                           .wanted = std::max(needed, next_slice(pool.taken, pool.fetched_ns, now))});
  }
  if (terms.concurrent >= 0 && misses(missing, LimitKind::kConcurrent)) {
    slots_asked_ = true;
    plan.slots = SlotPlan{.most = terms.concurrent, .wanted = 1 + terms.concurrent / 16};
  }
  return plan;
}

void LeasedAccount::apply(const LeasePlan& plan, std::uint64_t ticket, std::int64_t asked_ns, const Moment& now) {
  for (const RatePlan& one : plan.rates) {
    RatePool& pool = rates_[one.rate];
    pool.debt -= one.debt;
    pool.taken = 0;
    pool.fetched_ns = now.ns;
    pool.left = one.left;
    if (one.granted > 0) {
      add_slice(pool, {one.granted, asked_ns + one.terms.hold_ns, one.mark_ns, one.terms.hold_ns > 0 ? 0 : ticket,
                       one.terms.interval_ns});
    }
    if (one.wait_ns > 0) {
      pool.empty_until_ns = now.ns + one.wait_ns;
      pool.empty_for = one.needed;
    }
  }
  for (const QuotaPlan& one : plan.quotas) {
    QuotaPool& pool = quotas_[one.quota];
    if (pool.period != one.period) continue;
    pool.started = true;
    pool.debt -= one.debt;
    pool.have += one.granted;
    pool.left = one.left;
    pool.taken = 0;
    pool.fetched_ns = now.ns;
    pool.touched_ns = now.ns;
    if (one.granted < one.needed) pool.empty_until_ns = now.ns + kBelieveNs;
  }
  if (plan.slots) {
    slots_asked_ = false;
    slots_held_ += plan.slots->granted;
    ++slot_changes_;
    if (plan.slots->granted == 0) slots_empty_until_ns_ = now.ns + kBelieveNs;
  }
}

void LeasedAccount::abandon(const LeasePlan& plan) {
  if (plan.slots) slots_asked_ = false;
}

LeaseReturns LeasedAccount::collect(const Moment& now, bool everything) {
  LeaseReturns out;
  turn(now);
  for (std::size_t i = 0; i < kRateKinds; ++i) {
    RatePool& pool = rates_[i];
    std::erase_if(pool.slices, [&](const Slice& slice) {
      // What a request fetched for itself it uses at once, or has gone.
      const std::int64_t expires = slice.ticket != 0 ? slice.expires_ns + kSecondNs : slice.expires_ns;
      if (!everything && expires > now.ns) return false;
      pool.returns.push_back({i, slice.interval_ns, slice.units, slice.mark_ns});
      return true;
    });
    out.rates.insert(out.rates.end(), pool.returns.begin(), pool.returns.end());
    pool.returns.clear();
    if (pool.debt > 0) out.debts.rates.push_back({.rate = i, .terms = pool.terms, .debt = pool.debt});
    pool.debt = 0;
  }
  for (std::size_t i = 0; i < kQuotaKinds; ++i) {
    QuotaPool& pool = quotas_[i];
    if (pool.have > 0 && (everything || pool.touched_ns + 2 * lease_time_ns_ <= now.ns)) {
      out.quotas.push_back({i, pool.period, pool.have});
      pool.have = 0;
      pool.empty_until_ns = 0;
    }
    if (pool.debt > 0) out.debts.quotas.push_back({.quota = i, .period = pool.period, .debt = pool.debt});
    pool.debt = 0;
  }
  const std::int64_t spare = everything || slots_used_ == 0 ? 0 : slots_most_ / 16;
  out.slots = std::max<std::int64_t>(0, slots_held_ - slots_used_ - spare);
  slots_held_ -= out.slots;
  if (out.slots > 0) ++slot_changes_;
  return out;
}

void LeasedAccount::restore(const LeaseReturns& returns) {
  for (const RateReturn& one : returns.rates) rates_[one.rate].returns.push_back(one);
  for (const RatePlan& one : returns.debts.rates) rates_[one.rate].debt += one.debt;
  for (const QuotaReturn& one : returns.quotas) {
    if (quotas_[one.quota].period == one.period) quotas_[one.quota].have += one.units;
  }
  for (const QuotaPlan& one : returns.debts.quotas) {
    if (quotas_[one.quota].period == one.period) quotas_[one.quota].debt += one.debt;
  }
  slots_held_ += returns.slots;
  ++slot_changes_;
}

void LeasedAccount::correct_slots(std::int64_t held, std::uint64_t seen) {
  if (seen != slot_changes_ || slots_asked_) return;
  slots_held_ = held;
  slots_doubted_ = false;
}

void LeasedAccount::report(const LimitTerms& terms, const Moment& now, LimitReport& report) {
  const std::array standings{&report.requests, &report.input_tokens, &report.output_tokens};
  for (std::size_t i = 0; i < kRateKinds; ++i) {
    if (!terms.rates[i]) continue;
    const RatePool& pool = rates_[i];
    const std::int64_t remaining = std::min(units_for(pool, now, 0) + pool.left, terms.rates[i]->burst);
    const std::int64_t used = terms.rates[i]->burst - remaining;
    tighten(*standings[i], {.limit = terms.rates[i]->count,
                            .remaining = remaining,
                            .reset_ms = whole_ms(terms.rates[i]->ns_of(terms.rates[i]->cost(used))),
                            .window_ms = terms.rates[i]->window_ns / 1'000'000,
                            .name = to_string(scope)});
  }
  for (std::size_t i = 0; i < kQuotaKinds; ++i) {
    if (terms.quotas[i] < 0 || !quotas_[i].started) continue;
    const std::int64_t end_ms = quota_end_ms(i, quotas_[i].period);
    const Period period = monthly(i) ? Period::kMonth : Period::kDay;
    const LimitStanding standing{
        .limit = terms.quotas[i],
        .remaining = std::max<std::int64_t>(0, quotas_[i].have + std::max<std::int64_t>(0, quotas_[i].left)),
        .reset_ms = end_ms - now.ms(),
        .window_ms = end_ms - period_start_ms(period, quotas_[i].period),
        .name = to_string(scope)};
    if (!of_tokens(i)) {
      tighten(report.requests, standing);
    } else {
      tighten(report.input_tokens, standing);
      tighten(report.output_tokens, standing);
    }
  }
}

void LeasedAccount::limit_output(const LimitTerms& terms, const Moment& now, std::optional<std::int64_t>& most) {
  const auto lower = [&](std::int64_t to) { most = std::min(most.value_or(to), to); };
  if (terms.rates[2]) {
    // A quarter of the burst is worth asking the database for.
    const std::int64_t burst = LeaseTerms::of(*terms.rates[2], lease_time_ns_).burst;
    lower(std::max(units_for(rates_[2], now, 0), std::max<std::int64_t>(1, burst / 4)));
  }
  turn(now);
  for (const std::size_t i : {2, 3}) {
    if (terms.quotas[i] < 0) continue;
    const QuotaPool& pool = quotas_[i];
    lower(pool.left >= 0 ? pool.have + pool.left : std::min(terms.quotas[i], kBlindOutput));
  }
}

bool LeasedAccount::idle(const Moment& /*now*/) {
  if (slots_held_ > 0 || slots_used_ > 0) return false;
  for (const RatePool& pool : rates_) {
    if (!pool.slices.empty() || !pool.returns.empty() || pool.debt > 0) return false;
  }
  return std::ranges::all_of(quotas_, [](const QuotaPool& pool) { return pool.have == 0 && pool.debt == 0; });
}

}  // namespace llm::access
