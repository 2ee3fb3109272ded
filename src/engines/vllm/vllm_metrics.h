#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json/json.h"

namespace llm::engines {

// One line of Prometheus' text format.
struct MetricLine {
  std::string_view name;
  std::vector<std::pair<std::string, std::string>> labels;
  double value = 0;  // also infinite or not a number
  // Empty: no such label.
  std::string_view label(std::string_view wanted) const;
};
// Every line that holds a sample, in order; comments and what cannot be read are passed over. The lines live as long as
// the call.
void read_metric_lines(std::string_view text, const std::function<void(const MetricLine&)>& on_line);

// What vLLM says of itself, whatever names its version has for it. Of several inner engines (data parallel) the sum,
// for a ratio the mean. Empty: it does not say.
struct VllmFigures {
  std::optional<double> running;  // requests
  std::optional<double> waiting;
  std::optional<double> kv_cache_usage;        // 0..1
  std::optional<double> prefix_cache_queries;  // tokens
  std::optional<double> prefix_cache_hits;
  std::optional<double> prompt_tokens;
  std::optional<double> generation_tokens;
  std::optional<double> preemptions;
  std::optional<double> finished;                 // requests
  std::optional<double> time_to_first_token_sum;  // seconds
  std::optional<double> time_to_first_token_count;
  std::optional<double> inter_token_latency_sum;
  std::optional<double> inter_token_latency_count;
  std::optional<double> request_latency_sum;
  std::optional<double> request_latency_count;
  std::optional<double> healthy;  // newest only: 0 or 1
  std::string sleep_state;        // newest only: "awake", "weights_offloaded", "discard_all"
  std::set<std::string> running_adapters;
  std::set<std::string> waiting_adapters;
};
VllmFigures vllm_figures(std::string_view metrics_text);

// What each figure is called where we show it: in JSON as it stands, in our metrics as llm_mcp_engine_<name>, where a
// counter that is no sum or count ends in "_total".
struct VllmFigure {
  std::string_view name;
  std::string_view help;
  bool counter;
  std::optional<double> VllmFigures::* member;
};
const std::vector<VllmFigure>& vllm_figure_table();

// {"requests_running": 2, …} without what is not known.
json::object to_json(const VllmFigures& figures);

}  // namespace llm::engines
