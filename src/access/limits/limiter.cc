#include "access/limits/limiter.h"

#include <algorithm>
#include <utility>

#include "access/limits/limit_refusal.h"
#include "access/limits/limiter_state.h"
#include "async/blocking_pool.h"

namespace llm::access {
namespace {

constexpr std::size_t kFetchers = 2;  // at once; each waits for the database
// Rounds of fetching and being too late for what was fetched. Far more than ever happen.
constexpr int kMostRounds = 10'000;
constexpr std::int64_t kLeaveAloneNs = 500'000'000;
constexpr std::chrono::milliseconds kFetchWait{10'000};

// Runs on the pool. Never in a coroutine's frame: who asked may be gone by the end.
Result<void> fetch(const std::shared_ptr<Limiter::State>& state, const std::vector<Want>& wants, std::uint64_t ticket) {
  Supply& supply = state->shared ? static_cast<Supply&>(*state->shared) : *state->usage;
  auto done = supply.fetch(wants, ticket);
  state->down_until_ns = done ? 0 : state->now_ns() + kLeaveAloneNs;
  state->land(wants);
  return done;
}

}  // namespace

Limiter::Limiter(LimiterSettings settings, store::Database* database, std::string gateway_id,
                 std::function<std::int64_t()> now_ns)
    : state_(std::make_shared<State>(std::move(settings), database, std::move(gateway_id), std::move(now_ns))) {
  if (database != nullptr) fetchers_ = std::make_unique<BlockingPool>(kFetchers);
}

Limiter::~Limiter() = default;

std::optional<Result<Reservation>> Limiter::try_reserve(const Principal& principal, std::string_view model,
                                                        const Demand& demand, LimitReport* report) {
  return state_->attempt(principal, model, demand, report, 0, nullptr);
}

Task<Result<Reservation>> Limiter::reserve(const Principal& principal, std::string_view model, Demand demand,
                                           LimitReport* report, Loop& /*loop*/, CancelToken cancel) {
  const auto state = state_;
  const std::uint64_t ticket = state->next_ticket.fetch_add(1);
  for (int round = 0; round < kMostRounds; ++round) {
    const std::uint64_t seen = state->landed.get().version;
    std::vector<Want> wants;
    if (auto done = state->attempt(principal, model, demand, report, ticket, &wants)) co_return std::move(*done);
    if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "cancelled while waiting for a limit");
    if (state->now_ns() < state->down_until_ns) {
      co_return fail(unknown_limit_error(wants.front().account->scope, wants.front().name,
                                         {ErrorCode::kUnavailable, "the database does not answer", {}, {}, 0}));
    }
    state->claim(wants);
    if (wants.empty()) {  // others are fetching
      co_await state->landed.changed(seen, cancel, kFetchWait);
      continue;
    }
    const Scope scope = wants.front().account->scope;
    const std::string name = wants.front().name;
    auto fetched =
        co_await fetchers_->run([state, wants = std::move(wants), ticket] { return fetch(state, wants, ticket); });
    if (!fetched) co_return fail(unknown_limit_error(scope, name, fetched.error()));
  }
  co_return fail(Error{ErrorCode::kOverloaded, "too many requests wait for one limit; try again soon", {}, {}, 1});
}

std::optional<std::int64_t> Limiter::output_limited(const Principal& principal, std::string_view model) const {
  std::optional<std::int64_t> most;
  const auto set = state_->sets.get(principal, model, state_->now_ns);
  const bool by_address = !principal.local() && !state_->address_terms.empty;
  if (set->bounds.empty() && !by_address) return most;
  const Moment now(state_->now_ns());
  for (const Bound& bound : set->bounds) {
    const std::lock_guard lock(bound.account->mutex);
    bound.account->limit_output(bound.terms, now, most);
  }
  if (const auto address = state_->address_account(principal, now)) {
    const std::lock_guard lock(address->mutex);
    address->limit_output(state_->address_terms, now, most);
  }
  // Of nothing one token is still asked for, so that reserving it says why there is none.
  if (most) most = std::max<std::int64_t>(1, *most);
  return most;
}

Result<void> Limiter::maintain() {
  if (!state_->shared) return {};
  auto done = state_->shared->maintain();
  if (done) state_->down_until_ns = 0;
  return done;
}

void Limiter::release_all() {
  if (state_->shared) state_->shared->release_all();
}

Reservation::Reservation() = default;
Reservation::Reservation(Reservation&& other) noexcept
    : state_(std::move(other.state_)), report_(std::exchange(other.report_, {})) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    const Reservation old(std::move(*this));
    state_ = std::move(other.state_);
    report_ = std::exchange(other.report_, {});
  }
  return *this;
}

Reservation::~Reservation() {
  if (state_) state_->settle(Amounts(state_->keep_request ? state_->requests : 0, 0, 0));
}

void Reservation::settle(std::int64_t input_tokens, std::int64_t output_tokens) {
  if (const auto state = std::exchange(state_, nullptr)) {
    state->settle(Amounts(state->requests, input_tokens, output_tokens));
  }
}

void Reservation::keep_request() {
  if (state_) state_->keep_request = true;
}

}  // namespace llm::access
