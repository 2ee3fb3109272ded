#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "router/replica.h"
#include "router/routing_settings.h"

namespace llm::router {

// What a policy may look at.
struct Hints {
  std::uint64_t session = 0;                   // 0: none
  std::span<const std::uint64_t> blocks = {};  // prompt_blocks(): hash i covers the prompt up to the end of block i
  std::int64_t tokens = 1;                     // that the request may cost
};

// What a replica counts in one pool.
struct PoolPlace {
  double weight = 1;
  std::int32_t priority = 0;
};

struct PoolSettings {
  Policy policy = Policy::kLeastLoaded;
  double bounded_load = 1.25;
  OutlierSettings outlier = {};
  std::vector<PoolPlace> places = {};  // one for each replica; empty: as the replicas' own options say
  RouterMetrics* metrics = nullptr;    // null: nothing is counted
  std::uint64_t seed = 0;              // of the random choices; 0: another one each time
};

// The replicas of one model and the choice among them. Thread-safe. A choice takes at most a microsecond with 64
// replicas and allocates nothing; blocks of a prompt that the chosen replica has not seen cost some 20 ns more each.
// Whoever is chosen and has failed since it was last chosen is judged as an outlier first.
class Pool {
 public:
  using Clock = std::chrono::steady_clock;
  using Now = std::function<Clock::time_point()>;
  Pool(PoolSettings settings, std::vector<std::shared_ptr<Replica>> replicas, Now now = Clock::now);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // One of the available replicas that are not in `tried`; nullopt: there is none. What is picked counts as loaded
  // until the Pick ends.
  std::optional<Pick> pick(const Hints& hints, std::span<const Replica* const> tried = {});
  const std::vector<std::shared_ptr<Replica>>& replicas() const { return replicas_; }
  Policy policy() const { return settings_.policy; }

  // When the first of them may be asked again, if none can be now and time is all it takes.
  std::optional<Clock::time_point> next_available() const;

 private:
  struct Impl;
  PoolSettings settings_;
  std::vector<std::shared_ptr<Replica>> replicas_;  // shared: a replica may stand in several pools
  Now now_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace llm::router
