#include "access/limits/limiter_state.h"

#include <algorithm>

#include "access/limits/limit_refusal.h"

namespace llm::access {
namespace {

// All accounts of a request at once, so that it takes from all of them or from none and nobody sees it take and give
// back again. In the order of their scopes, which is the same for everybody; those of models in the order of patterns.
class Locks {
 public:
  Locks(const LimitSet& set, Account* address) : set_(set), address_(address) {
    for (const Bound& bound : set_.bounds) bound.account->mutex.lock();
    if (address_ != nullptr) address_->mutex.lock();
  }
  ~Locks() {
    if (address_ != nullptr) address_->mutex.unlock();
    for (auto bound = set_.bounds.rbegin(); bound != set_.bounds.rend(); ++bound) bound->account->mutex.unlock();
  }
  Locks(const Locks&) = delete;
  Locks& operator=(const Locks&) = delete;

 private:
  const LimitSet& set_;
  Account* address_;
};

}  // namespace

Limiter::State::State(LimiterSettings its_settings, store::Database* database, std::string gateway_id,
                      std::function<std::int64_t()> its_clock)
    : settings(std::move(its_settings)),
      now_ns(std::move(its_clock)),
      address_terms(LimitTerms::of(settings.defaults.address)),
      accounts([this](Scope scope, std::string subject, bool fresh) {
        return make_account(scope, std::move(subject), fresh);
      }),
      addresses(settings.max_addresses, [this](Scope scope, std::string subject,
                                               bool fresh) { return make_account(scope, std::move(subject), fresh); }),
      sets(settings.defaults, accounts) {
  if (database == nullptr) return;
  if (database->shared()) {
    const auto lease_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(settings.lease_time).count();
    shared = std::make_unique<SharedLimits>(*database, std::move(gateway_id), lease_ns, now_ns, [this] {
      auto all = accounts.all();
      const auto more = addresses.all();
      all.insert(all.end(), more.begin(), more.end());
      return all;
    });
  } else {
    usage = std::make_unique<UsageSoFar>(*database, now_ns);
  }
}

std::shared_ptr<Account> Limiter::State::make_account(Scope scope, std::string subject, bool fresh) const {
  if (shared) return std::make_shared<LeasedAccount>(scope, std::move(subject), shared->lease_time_ns());
  const bool booked = usage && scope != Scope::kAddress;
  auto account = std::make_shared<LocalAccount>(scope, std::move(subject), booked);
  if (!booked) {
    account->start_counting({}, Moment(now_ns()));
  } else if (fresh) {
    usage->start(*account);
  }
  return account;
}

std::shared_ptr<Account> Limiter::State::address_account(const Principal& principal, const Moment& now) {
  if (address_terms.empty || principal.local() || principal.address.empty()) return nullptr;
  return addresses.get(principal.address, now);
}

std::optional<Result<Reservation>> Limiter::State::attempt(const Principal& principal, std::string_view model,
                                                           const Demand& demand, LimitReport* report,
                                                           std::uint64_t ticket, std::vector<Want>* wants) {
  auto set = sets.get(principal, model, now_ns);
  const bool by_address = !address_terms.empty && !principal.local();
  if (set->bounds.empty() && !by_address) return Reservation();
  const Moment now(now_ns());
  auto address = by_address ? address_account(principal, now) : nullptr;
  const Amounts amounts(demand.requests, demand.input_tokens, demand.output_tokens);
  const bool doubtful = shared && shared->stale(now.ns);

  const Locks locks(*set, address.get());
  std::optional<Refusal> refusal;
  bool missing = false;
  const auto look = [&](Account& account, const LimitTerms& terms, const std::string& name,
                        const std::shared_ptr<Account>& shared_account) {
    if (doubtful) static_cast<LeasedAccount&>(account).doubt_slots();
    Check check;
    account.check(terms, amounts, now, ticket, check);
    if (check.refusal && (!refusal || check.refusal->wait_ns > refusal->wait_ns)) {
      refusal = check.refusal;
      refusal->name = &name;
    }
    missing |= check.missing != 0;
    if (check.missing != 0 && wants) wants->push_back({shared_account, terms, amounts, check.missing, name});
  };
  for (const Bound& bound : set->bounds) look(*bound.account, bound.terms, bound.name, bound.account);
  if (address) look(*address, address_terms, principal.address, address);

  const auto tell = [&](LimitReport& into) {
    for (const Bound& bound : set->bounds) bound.account->report(bound.terms, now, into);
    if (address) address->report(address_terms, now, into);
  };
  if (refusal) {
    if (report) tell(*report = {});
    return fail(refusal_error(*refusal));
  }
  if (missing) return std::nullopt;

  Reservation reservation;
  reservation.state_ = std::make_unique<Reservation::State>();
  Reservation::State& state = *reservation.state_;
  state.requests = amounts.rates[0];
  state.holds.resize(set->bounds.size() + (address ? 1 : 0));
  for (std::size_t i = 0; i < set->bounds.size(); ++i) {
    set->bounds[i].account->take(set->bounds[i].terms, amounts, now, ticket, state.holds[i]);
  }
  if (address) address->take(address_terms, amounts, now, ticket, state.holds.back());
  tell(reservation.report_);
  if (report) *report = reservation.report_;
  state.set = std::move(set);
  state.address = std::move(address);
  state.limiter = shared_from_this();
  return reservation;
}

void Limiter::State::claim(std::vector<Want>& wants) {
  const std::lock_guard lock(mutex_);
  std::erase_if(wants, [&](const Want& want) { return !fetching_.insert(want.account.get()).second; });
}

void Limiter::State::land(const std::vector<Want>& wants) {
  {
    const std::lock_guard lock(mutex_);
    for (const Want& want : wants) fetching_.erase(want.account.get());
  }
  landed.update([](int& flights) { ++flights; });
}

void Reservation::State::settle(const Amounts& used) {
  const Moment now(limiter->now_ns());
  for (const Hold& hold : holds) {
    const std::lock_guard lock(hold.account->mutex);
    hold.account->settle(hold, used, now);
  }
}

}  // namespace llm::access
