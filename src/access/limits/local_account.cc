#include "access/limits/local_account.h"

#include <algorithm>

#include "access/limits/period.h"

namespace llm::access {

namespace {

constexpr std::int64_t kSlotWaitNs = 1'000'000'000;  // nobody knows when a running request ends

}  // namespace

void tighten(LimitStanding& standing, const LimitStanding& other) {
  const bool tighter = standing.limit < 0 || other.remaining < standing.remaining ||
                       (other.remaining == standing.remaining && other.reset_ms > standing.reset_ms);
  if (tighter) standing = other;
}

// A clock that is set back does not bring a past period back.
void LocalAccount::turn(const Moment& now) {
  for (std::size_t i = 0; i < kQuotaKinds; ++i) {
    if (now.period(i) > quotas_[i].period) quotas_[i] = {now.period(i), 0};
  }
}

void LocalAccount::start_counting(const QuotaAmounts& used, const Moment& then) {
  if (counted_) return;
  turn(then);
  for (std::size_t i = 0; i < kQuotaKinds; ++i) {
    if (quotas_[i].period == then.period(i)) quotas_[i].used = used[i];
  }
  counted_ = true;
}

void LocalAccount::check(const LimitTerms& terms, const Amounts& demand, const Moment& now, std::uint64_t /*ticket*/,
                         Check& check) {
  for (std::size_t i = 0; i < kRateKinds; ++i) {
    if (!terms.rates[i]) continue;
    const RateTerms& rate = *terms.rates[i];
    if (!rates_[i]) rates_[i] = std::make_unique<Gcra>();
    rates_[i]->adopt(rate, now.ns);
    const std::int64_t units = clamped(demand.rates[i], rate);
    if (units == 0 || rates_[i]->fits(units, now.ns)) continue;
    check.refuse({.scope = scope,
                  .kind = static_cast<LimitKind>(i),
                  .limit = rate.count,
                  .window_ms = rate.window_ns / 1'000'000,
                  .wait_ns = rates_[i]->wait_ns(units, now.ns)});
  }
  if (terms.concurrent >= 0 && running_ >= terms.concurrent) {
    check.refuse({.scope = scope, .kind = LimitKind::kConcurrent, .limit = terms.concurrent, .wait_ns = kSlotWaitNs});
  }
  if (!terms.has_quotas) return;
  if (!counted_) return check.miss(LimitKind::kRequestsPerDay);
  turn(now);
  for (std::size_t i = 0; i < kQuotaKinds; ++i) {
    if (terms.quotas[i] < 0) continue;
    const std::int64_t needed = std::max<std::int64_t>(1, demand.quota(i));
    const std::int64_t left = std::max<std::int64_t>(0, terms.quotas[i] - quotas_[i].used);
    if (needed <= left) continue;
    const std::int64_t end_ms = period_end_ms(monthly(i) ? Period::kMonth : Period::kDay, quotas_[i].period);
    check.refuse({.scope = scope,
                  .kind = quota_kind(i),
                  .limit = terms.quotas[i],
                  .wait_ns = end_ms * 1'000'000 - now.ns,
                  .left = left,
                  .needed = needed,
                  .period_end_ms = end_ms});
  }
}

void LocalAccount::take(const LimitTerms& terms, const Amounts& demand, const Moment& now, std::uint64_t /*ticket*/,
                        Hold& hold) {
  hold.account = this;
  ++running_;
  hold.slot = true;
  for (std::size_t i = 0; i < kRateKinds; ++i) {
    if (!terms.rates[i]) continue;
    const std::int64_t units = clamped(demand.rates[i], *terms.rates[i]);
    hold.rates[i] = {.taken = true, .units = units, .arrival = rates_[i]->take(units, now.ns)};
  }
  if (!counted_) return;
  turn(now);
  for (std::size_t i = 0; i < kQuotaKinds; ++i) {
    hold.quotas_taken[i] = true;
    hold.quotas[i] = demand.quota(i);
    quotas_[i].used += hold.quotas[i];
  }
  hold.periods = {quotas_[0].period, quotas_[1].period};
}

void LocalAccount::settle(const Hold& hold, const Amounts& used, const Moment& now) {
  --running_;
  for (std::size_t i = 0; i < kRateKinds; ++i) {
    const Hold::Rate& held = hold.rates[i];
    if (!held.taken) continue;
    rates_[i]->close(held.arrival, std::max<std::int64_t>(0, held.units - used.rates[i]));
    if (used.rates[i] > held.units) rates_[i]->charge(used.rates[i] - held.units, now.ns);
  }
  for (std::size_t i = 0; i < kQuotaKinds; ++i) {
    // A period that has ended asks nobody any more.
    if (!hold.quotas_taken[i] || hold.periods[i % 2] != quotas_[i].period) continue;
    quotas_[i].used += used.quota(i) - hold.quotas[i];
  }
}

void LocalAccount::report(const LimitTerms& terms, const Moment& now, LimitReport& report) {
  const std::array standings{&report.requests, &report.input_tokens, &report.output_tokens};
  for (std::size_t i = 0; i < kRateKinds; ++i) {
    if (!terms.rates[i] || !rates_[i]) continue;
    tighten(*standings[i], {.limit = terms.rates[i]->count,
                            .remaining = rates_[i]->available(now.ns),
                            .reset_ms = whole_ms(rates_[i]->whole_ns(now.ns)),
                            .window_ms = terms.rates[i]->window_ns / 1'000'000,
                            .name = to_string(scope)});
  }
  if (!terms.has_quotas || !counted_) return;
  for (std::size_t i = 0; i < kQuotaKinds; ++i) {
    if (terms.quotas[i] < 0) continue;
    const Period period = monthly(i) ? Period::kMonth : Period::kDay;
    const std::int64_t end_ms = period_end_ms(period, quotas_[i].period);
    const LimitStanding standing{.limit = terms.quotas[i],
                                 .remaining = std::max<std::int64_t>(0, terms.quotas[i] - quotas_[i].used),
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

void LocalAccount::limit_output(const LimitTerms& terms, const Moment& now, std::optional<std::int64_t>& most) {
  const auto lower = [&](std::int64_t to) { most = std::min(most.value_or(to), to); };
  if (terms.rates[2] && rates_[2]) rates_[2]->adopt(*terms.rates[2], now.ns);
  if (terms.rates[2]) lower(rates_[2] ? rates_[2]->available(now.ns) : terms.rates[2]->burst);
  if (!terms.has_quotas) return;
  if (!counted_) {
    for (const std::size_t i : {2, 3}) {
      if (terms.quotas[i] >= 0) lower(std::min(terms.quotas[i], kBlindOutput));
    }
    return;
  }
  turn(now);
  for (const std::size_t i : {2, 3}) {
    if (terms.quotas[i] >= 0) lower(std::max<std::int64_t>(0, terms.quotas[i] - quotas_[i].used));
  }
}

bool LocalAccount::idle(const Moment& now) {
  if (running_ > 0) return false;
  for (const auto& rate : rates_) {
    if (rate && !rate->idle(now.ns)) return false;
  }
  return std::ranges::all_of(quotas_, [&](const Quota& quota) {
    return quota.used == 0 || quota.period < now.period(&quota - quotas_.data());
  });
}

}  // namespace llm::access
