#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "router/router_metrics.h"
#include "router/routing_settings.h"

namespace llm::router {

struct ReplicaOptions {
  double weight = 1;
  std::int32_t priority = 0;
  double cost = 0;  // of a million tokens
  BreakerSettings breaker = {};
  std::chrono::milliseconds slow_start{30'000};
  ReplicaMetrics* metrics = nullptr;  // null: nothing is counted
};

// One engine as the router sees it: what it has to do, how fast it is, whether it can be trusted. Thread-safe: what a
// choice reads is atomic; what outcomes change has one short lock.
class Replica {
 public:
  using Clock = std::chrono::steady_clock;
  using Now = std::function<Clock::time_point()>;
  explicit Replica(std::string key, ReplicaOptions options = {}, Now now = Clock::now);
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  const std::string& key() const { return key_; }
  const ReplicaOptions& options() const { return options_; }
  Clock::time_point now() const { return now_(); }

  // May a request go there now? Not while its breaker is open (or its one probe is out), while it is ejected as an
  // outlier, drained or found ill by a health check.
  bool available(Clock::time_point now) const { return ticks(now) >= blocked_until_.load(std::memory_order_acquire); }
  // It said a moment ago that it has too much to do: others first.
  bool steered_away(Clock::time_point now) const { return ticks(now) < steered_until_.load(std::memory_order_relaxed); }
  // kLeastReadiness..1: below 1 in the first time after it came up or came back.
  static constexpr double kLeastReadiness = 0.1;
  double readiness(Clock::time_point now) const {
    const std::int64_t since = ticks(now) - ready_since_.load(std::memory_order_relaxed);
    return since >= slow_start_ ? 1 : starting_readiness(since);
  }

  std::int64_t tokens_in_flight() const { return tokens_.load(std::memory_order_relaxed); }
  std::int64_t requests_in_flight() const { return requests_.load(std::memory_order_relaxed); }
  double first_token_seconds() const;  // smoothed; 0: none seen yet
  // The same, 0 also if the last one is older than kLatencyForgets: things may be better by now.
  static constexpr std::chrono::seconds kLatencyForgets{60};
  double first_token_seconds(Clock::time_point now) const;

  // From outside: an operator drains it, a health check finds it ill (and why) or well.
  void set_draining(bool draining);
  void health(bool well, Clock::time_point now, std::string reason = {});
  bool draining() const;

  // A request's life there. Pool and Pick call these.
  enum class Admitted { kNo, kYes, kProbe };
  // kNo: it is not available any more. kProbe: this one request decides whether an open breaker closes. Unless kNo,
  // ended() must follow.
  Admitted began(std::int64_t tokens, Clock::time_point now);
  void ended(std::int64_t tokens);
  void first_token(double seconds);
  // How it ended, for the breaker and for outliers; `probe` as began() said.
  void succeeded(Clock::time_point now, bool probe);
  void failed(Clock::time_point now, bool probe);
  void undecided(bool probe);  // cancelled, or the request's own fault: the next one may probe
  void overloaded(Clock::time_point now, std::chrono::milliseconds retry_after);

  // As an outlier, for longer each time in a row.
  void eject(const OutlierSettings& settings, Clock::time_point now);
  bool ejected(Clock::time_point now) const;
  double error_rate(std::uint32_t window) const;  // of the last requests; 0 while there are fewer than half of them
  std::uint64_t failures() const { return failures_.load(std::memory_order_relaxed); }  // since it is known
  // Rises each time it came back from where its memory of prompts may be lost.
  std::uint32_t comebacks() const { return comebacks_.load(std::memory_order_relaxed); }

  struct Report {
    std::string key;
    BreakerState breaker = BreakerState::kClosed;
    bool well = true;
    std::string ill_because;  // what the health check saw
    bool draining = false;
    bool ejected = false;
    std::int64_t requests = 0;
    std::int64_t tokens = 0;
    double first_token_seconds = 0;
    double readiness = 1;
    std::uint64_t failures = 0;  // since it is known
    std::uint64_t successes = 0;
    std::optional<Clock::time_point> retry_at;  // open breaker or ejected
  };
  Report report(Clock::time_point now) const;

 private:
  static constexpr std::uint32_t kHistory = 256;  // outcomes kept
  static std::int64_t ticks(Clock::time_point at) { return at.time_since_epoch().count(); }

  double starting_readiness(std::int64_t since) const;
  void update_gate();                     // blocked_until_ from all that can block
  void came_back(Clock::time_point now);  // slow start from here
  void open_breaker(Clock::time_point now);
  void set_breaker(BreakerState state);
  void remember(bool good, Clock::time_point now);

  const std::string key_;
  const ReplicaOptions options_;
  const Now now_;

  // What every choice reads of every replica: one cache line, although requests write to a part of it. A choice among
  // 64 is as fast as these lines come in.
  alignas(64) std::atomic<std::int64_t> blocked_until_{0};
  std::atomic<std::int64_t> steered_until_{0};
  std::atomic<std::int64_t> ready_since_;
  const std::int64_t slow_start_;  // ticks
  std::atomic<std::int64_t> tokens_{0};
  std::atomic<std::int64_t> requests_{0};
  std::atomic<float> first_token_seconds_{0};
  std::atomic<std::uint32_t> comebacks_{0};
  std::atomic<std::int64_t> first_token_at_{0};

  std::atomic<BreakerState> breaker_{BreakerState::kClosed};  // written under mutex_
  std::atomic<std::uint64_t> failures_{0};
  std::atomic<std::uint64_t> successes_{0};

  // Guards what follows.
  mutable std::mutex mutex_;
  bool draining_ = false;
  bool well_ = true;
  std::string ill_because_;
  std::uint32_t failures_in_a_row_ = 0;
  Clock::time_point open_until_{};
  Clock::time_point ejected_until_{};
  std::uint32_t ejections_in_a_row_ = 0;
  std::uint32_t ejection_window_ = 0;  // outcomes after which an ejection is forgotten
  std::uint32_t since_ejection_ = 0;   // outcomes
  std::array<bool, kHistory> good_{};  // ring of outcomes
  std::uint32_t next_ = 0;             // where the next one goes
  std::uint32_t known_ = 0;            // how many there are
};

// One request's place at a replica. Without a word about the outcome it counts as undecided when it ends.
class Pick {
 public:
  // Of a request that began() let in there.
  Pick(std::shared_ptr<Replica> replica, std::int64_t tokens, bool probe = false);
  Pick(Pick&&) noexcept = default;
  Pick& operator=(Pick&&) noexcept;
  ~Pick();

  Replica& replica() const { return *replica_; }
  void first_token(double seconds) { replica_->first_token(seconds); }
  void succeeded();
  // Only failures of the replica itself count against it: no connection, crash, time-out, nonsense, 5xx. `error`
  // decides. One that has too much to do is passed over for a moment.
  void failed(const Error& error);

 private:
  void end();
  std::shared_ptr<Replica> replica_;  // shared with its pools; null once moved from
  std::int64_t tokens_ = 0;
  bool probe_ = false;
  bool decided_ = false;
};

}  // namespace llm::router
