#include "inference/admission.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace llm::inference {
namespace {

constexpr double kSmoothing = 0.2;  // the weight of the newest interval between two departures
constexpr int kUnknownRetry = 2;    // seconds, before anybody has left
constexpr double kMostRetry = 600;

FairQueue::Share share_of(const Claim& claim) {
  return {claim.project, claim.key, claim.project_weight, claim.key_weight};
}

}  // namespace

Admission::Admission(AdmissionSettings settings) : settings_(std::move(settings)), queue_(settings_.batch_every) {}

// Who still waits now will never run again, but its loop may destroy it later.
Admission::~Admission() {
  while (auto* item = queue_.pop()) {
    auto& waiter = static_cast<Waiter&>(*item);
    waiter.owner = nullptr;
    waiter.self.reset();
  }
}

// Seconds until one in this place would have its turn, at the pace of late.
int Admission::retry_after(std::size_t position) const {
  if (departure_interval_ <= 0) return kUnknownRetry;
  // That nobody has left for longer than usual says more than the past does.
  const double silence = std::chrono::duration<double>(settings_.now() - last_departure_).count();
  const double seconds = std::max(departure_interval_, silence) * static_cast<double>(position);
  return static_cast<int>(std::clamp(std::ceil(seconds), 1.0, kMostRetry));
}

Error Admission::overloaded(std::string_view why, std::size_t position) const {
  Error error{ErrorCode::kOverloaded,
              fmt::format("{} is busy: {} ({} requests at work, {} waiting). Try again soon", settings_.subject, why,
                          running_, queue_.size()),
              {},
              {},
              retry_after(position)};
  error.with("queue_position", static_cast<std::int64_t>(position));
  error.with("queue_length", static_cast<std::int64_t>(queue_.size()));
  return error;
}

std::optional<Admission::Ticket> Admission::enter_now(const Claim& claim) {
  if (running_ >= settings_.max_concurrent || queue_.size() > 0) return std::nullopt;
  ++running_;
  const std::int64_t cost = std::max<std::int64_t>(claim.cost, 1);
  auto& account = queue_.hold(share_of(claim));
  queue_.charge(account, claim.priority, cost);
  return Ticket(*this, account, claim.priority, cost);
}

std::optional<Admission::Ticket> Admission::try_enter(const Claim& claim) {
  const std::lock_guard lock(mutex_);
  return enter_now(claim);
}

Result<std::shared_ptr<Admission::Waiter>> Admission::join_queue(const Claim& claim) {
  const auto share = share_of(claim);
  const std::size_t limit = settings_.project_queue_limit;
  if (limit != 0 && queue_.waiting(claim.project) >= limit) {
    return fail(overloaded("the project's share of the queue is full", queue_.size() + 1));
  }
  if (claim.deadline && *claim.deadline <= settings_.now()) {
    return fail(overloaded("the request's time was over before it could wait", queue_.size() + 1));
  }
  if (queue_.size() >= settings_.queue_limit) {
    auto* victim = queue_.size() == 0 ? nullptr : queue_.to_push_out(share, claim.priority);
    if (!victim) return fail(overloaded("the queue is full", queue_.size() + 1));
    auto& waiter = static_cast<Waiter&>(*victim);
    waiter.position = queue_.position(waiter);
    take_out(waiter, State::kPushedOut);
  }
  auto waiter = std::make_shared<Waiter>();
  waiter->account = &queue_.hold(share);
  waiter->priority = claim.priority;
  waiter->cost = std::max<std::int64_t>(claim.cost, 1);
  waiter->owner = this;
  waiter->self = waiter;
  if (queue_.size() == 0) last_departure_ = settings_.now();  // the time before was no time of waiting
  queue_.push(*waiter);
  return waiter;
}

Task<Result<Admission::Ticket>> Admission::enter(CancelToken cancel) {
  return enter(Claim(), std::move(cancel));
}

Task<Result<Admission::Ticket>> Admission::enter(Claim claim, CancelToken cancel) {
  Waiting waiting;
  auto timeout = settings_.queue_timeout;
  {
    const std::lock_guard lock(mutex_);
    if (auto ticket = enter_now(claim)) co_return std::move(*ticket);
    auto joined = join_queue(claim);
    if (!joined) co_return fail(std::move(joined.error()));
    waiting.waiter = std::move(*joined);
    if (claim.deadline) {
      timeout = std::min(timeout, std::chrono::ceil<std::chrono::milliseconds>(*claim.deadline - settings_.now()));
    }
  }
  const auto seen = waiting.waiter->state.get();
  if (seen.value == State::kWaiting) co_await waiting.waiter->state.changed(seen.version, cancel, timeout);
  const auto waiter = std::move(waiting.waiter);
  const std::lock_guard lock(mutex_);
  const State state = waiter->state.get().value;
  // Its place was counted, and its turn charged, by the one who let it in.
  if (state == State::kIn) co_return Ticket(*this, *waiter->account, waiter->priority, waiter->cost);
  if (state == State::kPushedOut) {
    co_return fail(
        overloaded("the queue is full, and its places go to projects that have fewer in it", waiter->position));
  }
  const Error too_long = overloaded("the wait in the queue took too long", queue_.position(*waiter));
  take_out(*waiter, State::kWaiting);
  if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "cancelled while waiting in the queue");
  co_return fail(too_long);
}

// Out of the queue; its account goes on to its ticket if it was let in.
void Admission::take_out(Waiter& waiter, State state) {
  const auto self = std::move(waiter.self);
  queue_.remove(waiter);
  if (state != State::kIn) queue_.release(*waiter.account);
  if (state != State::kWaiting) waiter.state.set(state);
}

void Admission::abandon(Waiter& waiter) {
  {
    const std::lock_guard lock(mutex_);
    if (waiter.waiting) return take_out(waiter, State::kWaiting);
    if (waiter.state.get().value != State::kIn) return;
  }
  leave(*waiter.account);
}

void Admission::let_in() {
  while (running_ < settings_.max_concurrent) {
    auto* next = queue_.pop();
    if (!next) return;
    ++running_;
    take_out(static_cast<Waiter&>(*next), State::kIn);
  }
}

void Admission::leave(FairQueue::Account& account) {
  const std::lock_guard lock(mutex_);
  --running_;
  queue_.release(account);
  if (queue_.size() == 0) return;
  const auto now = settings_.now();
  const double interval = std::chrono::duration<double>(now - std::exchange(last_departure_, now)).count();
  departure_interval_ =
      departure_interval_ <= 0 ? interval : departure_interval_ + kSmoothing * (interval - departure_interval_);
  let_in();
}

void Admission::Ticket::settle(std::int64_t true_cost) {
  if (!owner_) return;
  true_cost = std::max<std::int64_t>(true_cost, 1);
  const std::int64_t difference = true_cost - std::exchange(cost_, true_cost);
  if (difference == 0) return;
  const std::lock_guard lock(owner_->mutex_);
  owner_->queue_.correct(*account_, priority_, difference);
}

void Admission::set_max_concurrent(std::size_t most) {
  const std::lock_guard lock(mutex_);
  settings_.max_concurrent = most;
  let_in();
}

std::size_t Admission::running() const {
  const std::lock_guard lock(mutex_);
  return running_;
}

std::size_t Admission::waiting() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

}  // namespace llm::inference
