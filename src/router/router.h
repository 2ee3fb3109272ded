#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "router/catalogue.h"
#include "router/health_checks.h"
#include "router/pool.h"
#include "router/retry_budget.h"
#include "router/router_metrics.h"
#include "router/routing_settings.h"

namespace llm::router {

// Who asks for what, as far as routing cares.
struct RouteQuery {
  std::string name;              // as the client wrote it; empty: the default model
  DefaultChoice choice = {};     // what a request without a name is for
  std::string_view caller = {};  // stable for one caller: which version of a split it stays with
  bool local_only = false;       // the caller's project or role forbids that anything leaves the machine
};

// One engine of a step.
struct RouteReplica {
  std::shared_ptr<const engines::EngineSpec> spec;  // shared with the catalogue's snapshot
  std::shared_ptr<const CatalogueEntry> entry;      // whose replica it is
  bool leaves_machine = false;
};

// One pool to try. Immutable; shared by the requests that use it.
struct RouteStep {
  std::string name;  // that led here
  std::shared_ptr<const CatalogueEntry>
      entry;                           // the first target's: what stands for the step until a replica is chosen
  std::shared_ptr<Pool> pool;          // shared: survives that the catalogue is read anew
  std::vector<RouteReplica> replicas;  // in the order of pool->replicas()
  const RouteReplica& of(const Replica& replica) const;
};

// What to try for one request, in order: the model's own pool, then its fallbacks. Never empty.
struct RoutePlan {
  std::vector<std::shared_ptr<const RouteStep>> steps;
  std::vector<std::shared_ptr<const CatalogueEntry>> shadows;  // that get a copy of this request
  std::uint32_t retries = 2;
  BrokenStream broken_stream = BrokenStream::kError;
  std::chrono::milliseconds timeout{0};
  std::optional<std::chrono::milliseconds> first_token_timeout;
  std::optional<std::chrono::milliseconds> stall_timeout;
  std::chrono::milliseconds hedge_after{0};
  std::optional<bool> cache;
};

// From the name in a request to the engines that may answer it. Thread-safe.
class Router {
 public:
  // `metrics` may be null; it outlives the router.
  Router(Catalogue& catalogue, RoutingSettings settings, observe::GatewayMetrics* metrics = nullptr,
         Pool::Now now = Pool::Clock::now);
  ~Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // kNotFound as Catalogue::resolve; kPermissionDenied if everything that could answer would leave the machine and may
  // not.
  Task<Result<RoutePlan>> plan(RouteQuery query);

  // May one more retry be made? Counts it if so.
  bool take_retry();
  void request_began() { budget_.request(); }
  // For the metrics: a request goes to the next of its fallbacks, or to a second replica because the first one is slow.
  void fell_back();
  void hedged();

  // Every replica that has been asked for, by key. For people, health checks and draining.
  std::vector<std::shared_ptr<Replica>> replicas() const;
  std::shared_ptr<Replica> find(std::string_view key) const;
  // The same with how their engines are reached, of all pools that were used lately.
  std::vector<KnownReplica> known() const;
  const RoutingSettings& settings() const { return settings_; }
  Pool::Clock::time_point now() const { return now_(); }

 private:
  // Where one name leads: members of its pool with what they count.
  struct Members {
    std::vector<std::shared_ptr<const CatalogueEntry>> entries;
    std::vector<RouteTarget> targets;  // one for each entry
    std::vector<RouteTarget> shadow;
  };
  Task<Result<Members>> members_of(std::string name, const RouteQuery& query, int depth);
  Task<Result<std::shared_ptr<const CatalogueEntry>>> leaf(std::string name, const RouteQuery& query);
  Task<Result<std::shared_ptr<const RouteStep>>> step_of(std::string name, const RouteQuery& query, RoutePlan* plan);
  std::shared_ptr<const RouteStep> make_step(const std::string& key, const std::string& name, const Members& members,
                                             bool local_only);
  std::shared_ptr<Replica> replica_of(const engines::EngineSpec& spec, const RouteTarget& target);
  const ModelRouting* routing_of(std::string_view name) const;
  bool local_only(const RouteQuery& query, std::string_view name) const;

  Catalogue& catalogue_;
  RoutingSettings settings_;
  Pool::Now now_;
  std::unique_ptr<RouterMetrics> metrics_;  // null: nothing is counted
  RetryBudget budget_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Replica>, std::less<>> replicas_;       // guarded
  std::map<std::string, std::shared_ptr<const RouteStep>, std::less<>> steps_;  // guarded; as last made
};

// Equal everywhere and for ever: what stays with whom must not depend on the process.
std::uint64_t stable_hash(std::string_view a, std::string_view b = {});

// Which of several gets this caller: by weight, the same one for a caller as long as the weights stay, and few callers
// move when they change (weighted rendezvous hashing). `names` and `weights` are of equal length, at least one.
std::size_t sticky_choice(std::span<const RouteTarget> targets, std::string_view caller);

}  // namespace llm::router
