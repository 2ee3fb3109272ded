#include "router/replica.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace llm::router {
namespace {

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
constexpr float kSmoothing = 0.2F;  // the newest time to the first token's part in the mean
constexpr std::uint32_t kMostDoublings = 5;
constexpr std::chrono::seconds kShortestSteer{1};
constexpr std::chrono::seconds kLongestSteer{30};

std::chrono::milliseconds ms(json::Duration duration) {
  return std::chrono::milliseconds(duration.ms);
}

}  // namespace

Replica::Replica(std::string key, ReplicaOptions options, Now now)
    : key_(std::move(key)),
      options_(options),
      now_(std::move(now)),
      ready_since_(ticks(now_())),
      slow_start_(std::chrono::duration_cast<Clock::duration>(options.slow_start).count()) {}

double Replica::starting_readiness(std::int64_t since) const {
  const double part = static_cast<double>(std::max<std::int64_t>(0, since)) / static_cast<double>(slow_start_);
  return std::max(kLeastReadiness, part);
}

double Replica::first_token_seconds() const {
  return first_token_seconds_.load(std::memory_order_relaxed);
}

double Replica::first_token_seconds(Clock::time_point now) const {
  const std::int64_t age = ticks(now) - first_token_at_.load(std::memory_order_relaxed);
  return age > std::chrono::duration_cast<Clock::duration>(kLatencyForgets).count() ? 0 : first_token_seconds();
}

void Replica::first_token(double seconds) {
  const float newest = std::max(static_cast<float>(seconds), 1e-6F);
  const auto at = now_();
  const bool known = first_token_seconds(at) > 0;
  float old = first_token_seconds_.load(std::memory_order_relaxed);
  while (!first_token_seconds_.compare_exchange_weak(old, known ? old + kSmoothing * (newest - old) : newest,
                                                     std::memory_order_relaxed)) {
  }
  first_token_at_.store(ticks(at), std::memory_order_relaxed);
}

void Replica::set_draining(bool draining) {
  const auto now = now_();
  const std::lock_guard lock(mutex_);
  if (draining_ && !draining) came_back(now);
  draining_ = draining;
  update_gate();
}

bool Replica::draining() const {
  const std::lock_guard lock(mutex_);
  return draining_;
}

void Replica::health(bool well, Clock::time_point now, std::string reason) {
  const std::lock_guard lock(mutex_);
  if (!well_ && well) came_back(now);
  well_ = well;
  ill_because_ = well ? std::string() : std::move(reason);
  update_gate();
}

void Replica::update_gate() {
  std::int64_t until = 0;
  if (breaker_ == BreakerState::kOpen) until = ticks(open_until_);
  if (breaker_ == BreakerState::kHalfOpen || draining_ || !well_) until = kNever;
  blocked_until_.store(std::max(until, ticks(ejected_until_)), std::memory_order_release);
}

void Replica::came_back(Clock::time_point now) {
  ready_since_.store(ticks(std::max(now, ejected_until_)), std::memory_order_relaxed);
  comebacks_.fetch_add(1, std::memory_order_relaxed);
}

void Replica::set_breaker(BreakerState state) {
  breaker_.store(state, std::memory_order_release);
  update_gate();
  if (options_.metrics) options_.metrics->breaker(state);
}

void Replica::open_breaker(Clock::time_point now) {
  open_until_ = now + ms(options_.breaker.open_for);
  failures_in_a_row_ = 0;
  set_breaker(BreakerState::kOpen);
}

// A request that comes when the breaker has just closed or opened is let in or not by what it was a moment before; only
// the probe has to be exactly one.
Replica::Admitted Replica::began(std::int64_t tokens, Clock::time_point now) {
  if (!available(now)) return Admitted::kNo;
  Admitted admitted = Admitted::kYes;
  if (breaker_.load(std::memory_order_acquire) != BreakerState::kClosed) {
    const std::lock_guard lock(mutex_);
    if (!available(now)) return Admitted::kNo;
    if (breaker_ == BreakerState::kOpen) {
      admitted = Admitted::kProbe;
      set_breaker(BreakerState::kHalfOpen);
    }
  }
  tokens_.fetch_add(tokens, std::memory_order_relaxed);
  requests_.fetch_add(1, std::memory_order_relaxed);
  return admitted;
}

void Replica::ended(std::int64_t tokens) {
  tokens_.fetch_sub(tokens, std::memory_order_relaxed);
  requests_.fetch_sub(1, std::memory_order_relaxed);
}

// What began before an ejection says nothing about the time after it.
void Replica::remember(bool good, Clock::time_point now) {
  if (now < ejected_until_) return;
  good_[next_] = good;
  next_ = (next_ + 1) % kHistory;
  known_ = std::min(known_ + 1, kHistory);
  if (ejections_in_a_row_ > 0 && ++since_ejection_ >= ejection_window_) ejections_in_a_row_ = 0;
}

// While the breaker is not closed, only the probe decides: what began before it opened is old news.
void Replica::succeeded(Clock::time_point now, bool probe) {
  successes_.fetch_add(1, std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  remember(true, now);
  if (probe) {
    set_breaker(BreakerState::kClosed);
    came_back(now);
  }
  if (breaker_ == BreakerState::kClosed) failures_in_a_row_ = 0;
}

void Replica::failed(Clock::time_point now, bool probe) {
  const std::lock_guard lock(mutex_);
  remember(false, now);
  failures_.fetch_add(1, std::memory_order_relaxed);
  if (probe) {
    open_breaker(now);
  } else if (breaker_ == BreakerState::kClosed && ++failures_in_a_row_ >= options_.breaker.failures) {
    open_breaker(now);
  }
}

void Replica::undecided(bool probe) {
  if (!probe) return;
  const std::lock_guard lock(mutex_);
  set_breaker(BreakerState::kOpen);  // its time is over already, so that the next request may probe
}

void Replica::overloaded(Clock::time_point now, std::chrono::milliseconds retry_after) {
  const auto wait = std::clamp<std::chrono::milliseconds>(retry_after, kShortestSteer, kLongestSteer);
  steered_until_.store(ticks(now + wait), std::memory_order_relaxed);
}

void Replica::eject(const OutlierSettings& settings, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  if (now < ejected_until_) return;
  ejected_until_ = now + ms(settings.eject_for) * (1U << std::min(ejections_in_a_row_, kMostDoublings));
  ++ejections_in_a_row_;
  ejection_window_ = settings.window;
  since_ejection_ = 0;
  known_ = 0;
  ready_since_.store(ticks(ejected_until_), std::memory_order_relaxed);
  update_gate();
  if (options_.metrics) options_.metrics->ejected();
}

bool Replica::ejected(Clock::time_point now) const {
  const std::lock_guard lock(mutex_);
  return now < ejected_until_;
}

double Replica::error_rate(std::uint32_t window) const {
  const std::lock_guard lock(mutex_);
  const std::uint32_t looked_at = std::min({window, known_, kHistory});
  if (looked_at * 2 < window || looked_at == 0) return 0;
  std::uint32_t bad = 0;
  for (std::uint32_t i = 1; i <= looked_at; ++i) bad += good_[(next_ + kHistory - i) % kHistory] ? 0 : 1;
  return static_cast<double>(bad) / looked_at;
}

Replica::Report Replica::report(Clock::time_point now) const {
  Report out;
  out.key = key_;
  out.requests = requests_in_flight();
  out.tokens = tokens_in_flight();
  out.first_token_seconds = first_token_seconds();
  out.readiness = readiness(now);
  out.failures = failures();
  out.successes = successes_.load(std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  out.breaker = breaker_;
  out.well = well_;
  out.ill_because = ill_because_;
  out.draining = draining_;
  out.ejected = now < ejected_until_;
  if (out.breaker == BreakerState::kOpen && now >= open_until_) out.breaker = BreakerState::kHalfOpen;
  if (out.breaker == BreakerState::kOpen) out.retry_at = open_until_;
  if (out.ejected) out.retry_at = std::max(out.retry_at.value_or(ejected_until_), ejected_until_);
  return out;
}

Pick::Pick(std::shared_ptr<Replica> replica, std::int64_t tokens, bool probe)
    : replica_(std::move(replica)), tokens_(tokens), probe_(probe) {}

Pick& Pick::operator=(Pick&& other) noexcept {
  if (this == &other) return *this;
  end();
  replica_ = std::move(other.replica_);
  tokens_ = other.tokens_;
  probe_ = other.probe_;
  decided_ = other.decided_;
  return *this;
}

Pick::~Pick() {
  end();
}

void Pick::end() {
  if (!replica_) return;
  if (!decided_) replica_->undecided(probe_);
  replica_->ended(tokens_);
  replica_.reset();
}

void Pick::succeeded() {
  if (std::exchange(decided_, true)) return;
  replica_->succeeded(replica_->now(), probe_);
}

void Pick::failed(const Error& error) {
  if (decided_) return;
  switch (error.code) {
    case ErrorCode::kEngineFailed:
    case ErrorCode::kEngineTimeout:
    case ErrorCode::kUnavailable:
      decided_ = true;
      replica_->failed(replica_->now(), probe_);
      return;
    case ErrorCode::kOverloaded:
    case ErrorCode::kRateLimited:
      replica_->overloaded(replica_->now(), std::chrono::seconds(error.retry_after_s));
      return;
    default:
      return;
  }
}

}  // namespace llm::router
