#include "router/router_metrics.h"

#include <memory>

namespace llm::router {

std::string_view to_string(BreakerState state) {
  switch (state) {
    case BreakerState::kClosed:
      return "closed";
    case BreakerState::kOpen:
      return "open";
    case BreakerState::kHalfOpen:
      return "half_open";
  }
  return "closed";
}

ReplicaMetrics::ReplicaMetrics(observe::Metrics& metrics, const std::string& replica)
    : state_(metrics.gauge("llm_mcp_router_breaker_state",
                           "Circuit breaker of a replica: 0 closed, 1 open, 2 a probe is out", {{"replica", replica}})),
      ejections_(metrics.counter("llm_mcp_router_ejections_total", "Times a replica left its pool as an outlier",
                                 {{"replica", replica}})) {
  for (const auto& [policy, name] : json::EnumNames<Policy>::values) {
    picks_[static_cast<std::size_t>(policy)] =
        &metrics.counter("llm_mcp_router_picks_total", "Times a replica was chosen for a request",
                         {{"policy", std::string(name)}, {"replica", replica}});
  }
  for (const auto state : {BreakerState::kClosed, BreakerState::kOpen, BreakerState::kHalfOpen}) {
    transitions_[static_cast<std::size_t>(state)] =
        &metrics.counter("llm_mcp_router_breaker_transitions_total", "Changes of a replica's circuit breaker",
                         {{"replica", replica}, {"to", std::string(to_string(state))}});
  }
}

void ReplicaMetrics::breaker(BreakerState state) {
  state_.set(static_cast<double>(state));
  transitions_[static_cast<std::size_t>(state)]->add();
}

RouterMetrics::RouterMetrics(observe::GatewayMetrics& metrics)
    : metrics_(metrics.registry()),
      retries_(metrics_.counter("llm_mcp_router_retries_total", "Further replicas asked after one failed")),
      hedges_(metrics_.counter("llm_mcp_router_hedges_total", "Second replicas asked because the first took long")),
      fallbacks_(metrics_.counter("llm_mcp_router_fallbacks_total", "Requests that went on to a fallback model")),
      blocks_(metrics_.counter("llm_mcp_router_prompt_blocks_total", "Blocks of prompts that were routed by prefix")),
      known_(metrics_.counter("llm_mcp_router_known_prompt_blocks_total",
                              "Those that the chosen replica had been given before")) {}

ReplicaMetrics& RouterMetrics::replica(std::string_view key) {
  return replicas_.find_or_add(
      key, [this](const std::string& name) { return std::make_unique<ReplicaMetrics>(metrics_, name); });
}

}  // namespace llm::router
