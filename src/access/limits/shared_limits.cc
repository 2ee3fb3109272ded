#include "access/limits/shared_limits.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "access/limits/usage_so_far.h"
#include "store/usage_tables.h"

namespace llm::access {
namespace {

constexpr std::int64_t kDeadAfterMs = 10'000;  // without a heartbeat
// From when on our own slots are doubted: well before others may take them.
constexpr std::int64_t kDoubtAfterNs = kDeadAfterMs * 1'000'000 / 2;
constexpr std::int64_t kBeatEveryNs = 1'000'000'000;
constexpr std::size_t kAccountsAtOnce = 256;  // in one transaction
constexpr std::int64_t kAnyBurstNs = std::numeric_limits<std::int64_t>::max() / 4;
constexpr std::int64_t kAnyQuota = std::numeric_limits<std::int64_t>::max();
// Of what a quota has left, one gateway takes at most this part beyond what a request needs now.
constexpr std::int64_t kQuotaShare = 32;

std::string account_name(const Account& account) {
  return std::string(to_string(account.scope)) + ":" + account.subject;
}

std::string limit_name(const Account& account, LimitKind kind) {
  return account_name(account) + ":" + std::string(to_string(kind));
}

bool outcome_unknown(const Error& error) {
  return std::ranges::any_of(error.details, [](const ErrorDetail& detail) { return detail.name == "outcome"; });
}

Result<void> lease(store::Session& session, const Account& account, RatePlan& plan) {
  const std::string limit = limit_name(account, static_cast<LimitKind>(plan.rate));
  plan.granted = plan.wait_ns = plan.left = 0;
  if (plan.debt > 0) {
    auto paid = store::lease_rate(session, limit, plan.debt, plan.terms.interval_ns, kAnyBurstNs);
    if (!paid) return fail(std::move(paid.error()));
  }
  if (plan.wanted <= 0) return {};
  auto lease = store::lease_rate(session, limit, plan.wanted, plan.terms.interval_ns, plan.terms.burst_ns());
  if (!lease) return fail(std::move(lease.error()));
  plan.left = lease->left;
  plan.mark_ns = lease->mark_ns;
  plan.granted = lease->units;
  if (lease->units >= plan.needed) return {};
  // Not enough for the request: what there was stays there for others.
  plan.granted = 0;
  plan.left = lease->units;
  plan.wait_ns = lease->units > 0 ? (plan.needed - lease->units) * plan.terms.interval_ns
                                  : lease->wait_ns + (plan.needed - 1) * plan.terms.interval_ns;
  return store::return_rate(session, limit, lease->units, plan.terms.interval_ns, lease->mark_ns);
}

// The first that a gateway hears of a quota in a period: what the usage table has from before there was one. Taking a
// unit locks the row, so that of several gateways one does it.
Result<void> start_quota(store::Session& session, const Account& account, const std::string& quota,
                         const QuotaPlan& plan, const Moment& now) {
  auto first = store::lease_quota(session, quota, plan.period, 1, kAnyQuota);
  if (!first) return fail(std::move(first.error()));
  auto leased = store::leased_quota(session, quota, plan.period);
  if (!leased) return fail(std::move(leased.error()));
  if (*leased == 1) {
    auto used = usage_so_far(session, account.scope, account.subject, now);
    if (!used) return fail(std::move(used.error()));
    auto taken = store::lease_quota(session, quota, plan.period, (*used)[plan.quota], kAnyQuota);
    if (!taken) return fail(std::move(taken.error()));
  }
  return store::return_quota(session, quota, plan.period, 1);
}

Result<void> lease(store::Session& session, const Account& account, QuotaPlan& plan, const Moment& now) {
  const std::string quota = limit_name(account, quota_kind(plan.quota));
  plan.granted = 0;
  if (plan.start) {
    if (auto started = start_quota(session, account, quota, plan, now); !started) return started;
  }
  if (plan.debt > 0) {
    auto paid = store::lease_quota(session, quota, plan.period, plan.debt, kAnyQuota);
    if (!paid) return fail(std::move(paid.error()));
  }
  if (plan.wanted <= 0) return {};
  auto leased = store::leased_quota(session, quota, plan.period);
  if (!leased) return fail(std::move(leased.error()));
  const std::int64_t left = plan.most - *leased;
  const std::int64_t units = std::max(plan.needed, std::min(plan.wanted, left / kQuotaShare));
  plan.left = left;
  if (left < plan.needed) return {};
  auto granted = store::lease_quota(session, quota, plan.period, units, plan.most);
  if (!granted) return fail(std::move(granted.error()));
  plan.granted = *granted;
  plan.left = left - *granted;
  if (plan.granted >= plan.needed) return {};
  // Another gateway came between the two.
  auto returned = store::return_quota(session, quota, plan.period, plan.granted);
  plan.granted = plan.left = 0;
  return returned;
}

struct Fetch {
  const Want* want = nullptr;
  LeasePlan plan;
  Account& account() const { return *want->account; }
};

// Rows are locked in one order by all gateways: rates, quotas, slots; each by name.
Result<void> lease_all(store::Session& session, const std::string& gateway, std::vector<Fetch>& fetches,
                       const Moment& now) {
  for (Fetch& one : fetches) {
    for (RatePlan& plan : one.plan.rates) {
      if (auto done = lease(session, one.account(), plan); !done) return done;
    }
  }
  for (Fetch& one : fetches) {
    for (QuotaPlan& plan : one.plan.quotas) {
      if (auto done = lease(session, one.account(), plan, now); !done) return done;
    }
  }
  for (Fetch& one : fetches) {
    if (!one.plan.slots) continue;
    auto slots = store::lease_slots(session, limit_name(one.account(), LimitKind::kConcurrent), gateway,
                                    one.plan.slots->wanted, one.plan.slots->most, kDeadAfterMs);
    if (!slots) return fail(std::move(slots.error()));
    one.plan.slots->granted = *slots;
  }
  return {};
}

}  // namespace

SharedLimits::SharedLimits(store::Database& database, std::string gateway, std::int64_t lease_time_ns,
                           std::function<std::int64_t()> now_ns, Accounts accounts)
    : database_(database),
      gateway_(std::move(gateway)),
      lease_time_ns_(lease_time_ns),
      now_ns_(std::move(now_ns)),
      accounts_(std::move(accounts)) {}

bool SharedLimits::stale(std::int64_t now_ns) const {
  return now_ns - beat_ns_.load() > kDoubtAfterNs;
}

bool SharedLimits::slots_in_doubt(const Want& want) const {
  if (!misses(want.missing, LimitKind::kConcurrent)) return false;
  if (stale(now_ns_())) return true;
  const std::lock_guard lock(want.account->mutex);
  return static_cast<LeasedAccount&>(*want.account).slots_doubted();
}

Result<void> SharedLimits::fetch(std::span<const Want> wants, std::uint64_t ticket) {
  if (std::ranges::any_of(wants, [&](const Want& want) { return slots_in_doubt(want); })) {
    if (auto done = maintain(); !done) return done;
  }
  const Moment asked(now_ns_());
  std::vector<Fetch> fetches;
  for (const Want& want : wants) {
    auto& account = static_cast<LeasedAccount&>(*want.account);
    const std::lock_guard lock(account.mutex);
    fetches.push_back({&want, account.plan(want.terms, want.demand, asked, ticket, want.missing)});
  }
  std::ranges::sort(fetches, {}, [](const Fetch& one) { return account_name(one.account()); });
  auto done = database_.write(
      [&](store::Session& session) -> Result<void> { return lease_all(session, gateway_, fetches, asked); });
  const Moment now(now_ns_());
  for (const Fetch& one : fetches) {
    auto& account = static_cast<LeasedAccount&>(one.account());
    const std::lock_guard lock(account.mutex);
    if (done) {
      account.apply(one.plan, ticket, asked.ns, now);
    } else {
      account.abandon(one.plan);
    }
  }
  return done;
}

struct SharedLimits::Part {
  LeasedAccount* account = nullptr;
  LeaseReturns returns;
  std::uint64_t seen = 0;  // slot changes
};

Result<void> SharedLimits::give_back(std::span<const std::shared_ptr<Account>> accounts, bool everything) {
  const Moment now(now_ns_());
  std::vector<Part> parts;
  for (const auto& account : accounts) {
    Part part;
    part.account = static_cast<LeasedAccount*>(account.get());
    const std::lock_guard lock(account->mutex);
    part.returns = part.account->collect(now, everything);
    part.seen = part.account->slot_changes();
    if (!part.returns.empty() || part.account->holds_slots()) parts.push_back(std::move(part));
  }
  const bool nothing = std::ranges::all_of(parts, [](const Part& part) { return part.returns.empty(); });
  if (nothing && now.ns - beat_ns_.load() < kBeatEveryNs) return {};
  std::vector<store::HeldSlots> held;
  auto done = database_.write([&](store::Session& session) -> Result<void> {
    for (Part& part : parts) {
      for (RatePlan& debt : part.returns.debts.rates) {
        if (auto paid = lease(session, *part.account, debt); !paid) return paid;
      }
      for (const RateReturn& one : part.returns.rates) {
        const std::string limit = limit_name(*part.account, static_cast<LimitKind>(one.rate));
        if (auto ok = store::return_rate(session, limit, one.units, one.interval_ns, one.mark_ns); !ok) return ok;
      }
    }
    for (Part& part : parts) {
      for (QuotaPlan& debt : part.returns.debts.quotas) {
        if (auto paid = lease(session, *part.account, debt, now); !paid) return paid;
      }
      for (const QuotaReturn& one : part.returns.quotas) {
        const std::string quota = limit_name(*part.account, quota_kind(one.quota));
        if (auto ok = store::return_quota(session, quota, one.period, one.units); !ok) return ok;
      }
    }
    if (auto alive = store::beat(session, gateway_); !alive) return alive;
    for (const Part& part : parts) {
      const std::string limit = limit_name(*part.account, LimitKind::kConcurrent);
      if (auto ok = store::return_slots(session, limit, gateway_, part.returns.slots); !ok) return ok;
    }
    auto now_held = store::held_slots(session, gateway_);
    if (!now_held) return fail(std::move(now_held.error()));
    held = std::move(*now_held);
    return {};
  });
  if (!done) {
    if (outcome_unknown(done.error())) return done;
    for (const Part& part : parts) {
      const std::lock_guard lock(part.account->mutex);
      part.account->restore(part.returns);
    }
    return done;
  }
  beat_ns_ = now.ns;
  std::map<std::string, std::int64_t> by_limit;
  for (store::HeldSlots& one : held) by_limit[std::move(one.limit)] = one.slots;
  for (const Part& part : parts) {
    const auto found = by_limit.find(limit_name(*part.account, LimitKind::kConcurrent));
    const std::lock_guard lock(part.account->mutex);
    part.account->correct_slots(found == by_limit.end() ? 0 : found->second, part.seen);
  }
  return done;
}

std::vector<std::shared_ptr<Account>> SharedLimits::sorted_accounts() const {
  auto sorted = accounts_();
  std::ranges::sort(sorted, {}, [](const auto& account) { return account_name(*account); });
  return sorted;
}

Result<void> SharedLimits::maintain() {
  const std::lock_guard one_at_a_time(maintaining_);
  const auto accounts = sorted_accounts();
  if (stale(now_ns_())) {
    for (const auto& account : accounts) {
      const std::lock_guard lock(account->mutex);
      static_cast<LeasedAccount&>(*account).doubt_slots();
    }
  }
  const std::span<const std::shared_ptr<Account>> all(accounts);
  std::size_t at = 0;
  do {
    if (auto done = give_back(all.subspan(at, std::min(kAccountsAtOnce, all.size() - at)), false); !done) return done;
    at += kAccountsAtOnce;
  } while (at < all.size());
  return {};
}

void SharedLimits::release_all() {
  const std::lock_guard one_at_a_time(maintaining_);
  const auto accounts = sorted_accounts();
  const std::span<const std::shared_ptr<Account>> all(accounts);
  for (std::size_t at = 0; at < all.size(); at += kAccountsAtOnce) {
    // A failure means that the units count as used until the period ends, and the slots until the gateway counts as
    // dead.
    if (!give_back(all.subspan(at, std::min(kAccountsAtOnce, all.size() - at)), true)) return;
  }
}

}  // namespace llm::access
