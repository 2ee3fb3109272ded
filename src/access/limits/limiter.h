#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "access/limits/policy.h"
#include "access/principal.h"
#include "async/cancel.h"
#include "async/loop.h"
#include "store/database.h"

namespace llm {
class BlockingPool;
}

namespace llm::access {

// What a request may use at most; what it used in the end is settled. `requests` counts.
struct Demand {
  std::int64_t requests = 1;
  std::int64_t input_tokens = 0;   // an upper bound
  std::int64_t output_tokens = 0;  // an upper bound, which the engine is held to; 0: open, see Limiter::output_limited
};

// Where a caller stands, for headers: the tightest limit of each kind.
struct LimitStanding {
  std::int64_t limit = -1;  // -1: there is none
  std::int64_t remaining = 0;
  std::int64_t reset_ms = 0;  // until it is whole again
  std::int64_t window_ms = 0;
  std::string_view name = {};  // "key", "project", "address", "model"; static
};
struct LimitReport {
  LimitStanding requests = {};
  LimitStanding input_tokens = {};
  LimitStanding output_tokens = {};
};

class Limiter;

// Units that were taken and are not settled yet. Moves; when it goes without settle(), everything is given back but
// what `keep_request` was told to keep. One thread at a time.
class Reservation {
 public:
  Reservation();
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation();

  // The true counts: what was reserved beyond them is given back, what they exceed it by is charged. Frees the place
  // among the concurrent ones. Once.
  void settle(std::int64_t input_tokens, std::int64_t output_tokens);
  // Work has begun: the request counts, even if it is cancelled later.
  void keep_request();
  const LimitReport& report() const { return report_; }
  bool empty() const { return state_ == nullptr; }

  struct State;

 private:
  friend class Limiter;
  std::unique_ptr<State> state_;  // null: nothing is limited
  LimitReport report_;
};

struct LimiterSettings {
  LimitDefaults defaults = {};
  std::size_t max_addresses = 100'000;          // whose counts are remembered; idle ones go first
  std::chrono::milliseconds lease_time{1'000};  // how long units taken from the shared database may be kept unused
};

// Rate limits, concurrent requests and quotas of keys, projects, addresses and models. Reserves before, settles after:
// never granted twice, never lost, whatever runs at once. With one gateway everything is counted in memory, quotas
// starting from the usage in the database. With several over one PostgreSQL, units come from it in slices, so that a
// request rarely waits for it; while it is down, what was leased already is served and then requests with limits are
// refused (kUnavailable). Any thread.
class Limiter {
 public:
  // `database` null: in memory only. `now_ns`: since 1970.
  Limiter(LimiterSettings settings, store::Database* database, std::string gateway_id,
          std::function<std::int64_t()> now_ns);
  ~Limiter();

  // Takes the demand from every limit that applies, or none of it: kRateLimited with which limit ("key", "requests per
  // minute", …: details `limit`, `scope`, `kind`), retry_after and the standing in `report`. `model` is the name by
  // which it is served. An unlimited caller costs next to nothing; the local user is limited by the limits of models
  // only. A demand above what a limit grants at once (its burst) counts as that much, since it would never be granted,
  // and settling charges the rest. A quota refuses what it has not left: no debt is made knowingly.
  std::optional<Result<Reservation>> try_reserve(const Principal& principal, std::string_view model,
                                                 const Demand& demand,
                                                 LimitReport* report);  // nullopt: units have to be fetched first
  Task<Result<Reservation>> reserve(const Principal& principal, std::string_view model, Demand demand,
                                    LimitReport* report, Loop& loop, CancelToken cancel);
  // Does a limit on output tokens or tokens apply? Then a request without max_tokens needs one; at most this many now.
  std::optional<std::int64_t> output_limited(const Principal& principal, std::string_view model) const;

  // Background work with the database: renews leases, returns what is unused, beats. Blocks; one thread, a few times a
  // second. Not needed without a shared database.
  Result<void> maintain();
  // Gives back everything that is leased. At the end; blocks.
  void release_all();

  struct State;  // shared with reservations

 private:
  std::shared_ptr<State> state_;
  std::unique_ptr<BlockingPool> fetchers_;  // after the state, which what they run still uses
};

}  // namespace llm::access
