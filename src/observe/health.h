#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json/json.h"

namespace llm::observe {

enum class HealthState : std::uint8_t {
  kOk,
  kDegraded,     // works, but somebody should look (one of two engines down, the disk nearly full)
  kUnavailable,  // cannot do its work: send requests elsewhere
};
std::string_view to_string(HealthState state);  // "ok", "degraded", "unavailable"

struct HealthCheckResult {
  HealthState state = HealthState::kOk;
  std::string why;  // for people; empty when there is nothing to say. Never a secret, never a file path of a user
};

struct HealthReport {
  HealthState state = HealthState::kOk;                           // the worst of all checks
  std::vector<std::pair<std::string, HealthCheckResult>> checks;  // by name

  // 200 while requests may come (ok, degraded), 503 when they should go elsewhere.
  int http_status() const { return state == HealthState::kUnavailable ? 503 : 200; }
  // {"status":"degraded","checks":{"disk":{"status":"degraded","message":"2.1 GiB left"}}}; without `details`, for
  // callers that are not authenticated, only {"status":...}.
  json::object to_json(bool details) const;
};

// Readiness: may this process get requests now? Liveness is another question, "does it still turn its loops?", and is
// answered by answering at all: a failing check must never make an orchestrator kill a process that is loading a model
// or whose database is away. live() says so in the same form.
//
// Until started() the answer is unavailable ("starting"), and after draining() it is again ("shutting down"), so that
// a load balancer leaves before connections are refused. Any thread.
class Health {
 public:
  // Must return within microseconds and not block: checks read a state that others keep up to date. Runs on the thread
  // that asks, one at a time; must not call back into this object. An exception counts as unavailable.
  using Check = std::function<HealthCheckResult()>;

  void add(std::string name, Check check);  // replaces a check of that name
  void remove(std::string_view name);       // after it returns the check does not run any more

  void started();
  void draining();

  HealthReport readiness() const;
  static HealthReport live() { return {}; }

 private:
  enum class Phase : std::uint8_t { kStarting, kServing, kDraining };

  mutable std::mutex mutex_;
  Phase phase_ = Phase::kStarting;
  std::vector<std::pair<std::string, Check>> checks_;  // sorted by name
};

}  // namespace llm::observe
