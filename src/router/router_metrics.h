#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "observe/gateway_metrics.h"
#include "router/routing_settings.h"

namespace llm::router {

enum class BreakerState : std::uint8_t { kClosed, kOpen, kHalfOpen };
std::string_view to_string(BreakerState state);

// What one replica counts: llm_mcp_router_picks_total{policy,replica}, llm_mcp_router_breaker_state{replica} (0 closed,
// 1 open, 2 a probe is out), llm_mcp_router_breaker_transitions_total{replica,to},
// llm_mcp_router_ejections_total{replica}.
class ReplicaMetrics {
 public:
  ReplicaMetrics(observe::Metrics& metrics, const std::string& replica);
  void picked(Policy policy) { picks_[static_cast<std::size_t>(policy)]->add(); }
  void breaker(BreakerState state);
  void ejected() { ejections_.add(); }

 private:
  std::array<observe::Counter*, 8> picks_;        // by policy
  std::array<observe::Counter*, 3> transitions_;  // by the state it went to
  observe::Gauge& state_;
  observe::Counter& ejections_;
};

// The metrics of routing. Any thread; handles are looked up when an object is made, never by a request. Replicas beyond
// kMostReplicas count as "other": names that clients make up do not grow the registry for ever.
class RouterMetrics {
 public:
  static constexpr std::size_t kMostReplicas = 256;
  explicit RouterMetrics(observe::GatewayMetrics& metrics);

  ReplicaMetrics& replica(std::string_view key);
  void retried() { retries_.add(); }      // llm_mcp_router_retries_total
  void hedged() { hedges_.add(); }        // llm_mcp_router_hedges_total
  void fell_back() { fallbacks_.add(); }  // llm_mcp_router_fallbacks_total
  // Of one request with the policy prefix: blocks of its prompt, and how many of them its replica has had before.
  // llm_mcp_router_prompt_blocks_total, llm_mcp_router_known_prompt_blocks_total; their ratio is the hit share.
  void prompt(std::size_t blocks, std::size_t known) {
    blocks_.add(static_cast<double>(blocks));
    known_.add(static_cast<double>(known));
  }

 private:
  observe::Metrics& metrics_;
  observe::Counter& retries_;
  observe::Counter& hedges_;
  observe::Counter& fallbacks_;
  observe::Counter& blocks_;
  observe::Counter& known_;
  observe::HandleTable<ReplicaMetrics, kMostReplicas> replicas_;
};

}  // namespace llm::router
