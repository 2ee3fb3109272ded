#include "observe/gateway_metrics.h"

#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <utility>

#include "observe/process_metrics.h"

namespace llm::observe {
namespace {

// Bucket bounds in seconds. A histogram answers "how many were slower than X" exactly only at a bound, so they lie
// where people set goals, closer together where a goal is likely.

// Anything over HTTP, from a health check to a long streamed answer.
constexpr auto kHttpSeconds = std::to_array(
    {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0});
// A whole answer: embeddings take tens of milliseconds, a long chat on a CPU ten minutes.
constexpr auto kInferenceSeconds =
    std::to_array({0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0});
// Queue and prefill. 0.2 s feels immediate, 1 s is noticed, and a long prompt on a CPU takes a minute.
constexpr auto kFirstTokenSeconds =
    std::to_array({0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0});
// 2.5 ms is 400 tokens a second (a large GPU), 50 ms faster than people read, 1 s a model too large for its machine.
constexpr auto kPerTokenSeconds =
    std::to_array({0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5});
// From a small file in the page cache to a sharded model from a network disk.
constexpr auto kLoadSeconds =
    std::to_array({0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1280.0});

constexpr auto kMethodNames =
    std::to_array<std::string_view>({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "OTHER"});

constexpr std::size_t kMostStates = 16;

}  // namespace

RouteMetrics::RouteMetrics(Metrics& metrics, std::string route)
    : metrics_(metrics),
      route_(std::move(route)),
      duration_(metrics.histogram("llm_mcp_http_request_duration_seconds",
                                  "Time from the request's first byte to the answer's last byte.", {{"route", route_}},
                                  kHttpSeconds)) {
  static_assert(kMethodNames.size() == kMethods);
}

void RouteMetrics::request(std::string_view method, int status, double seconds) {
  const auto named = std::ranges::find(kMethodNames, method);
  const std::size_t method_index =
      named == kMethodNames.end() ? kMethods - 1 : static_cast<std::size_t>(named - kMethodNames.begin());
  const std::size_t status_index =
      status >= 100 && status <= 599 ? static_cast<std::size_t>(status - 100) : kStatuses - 1;
  counter(method_index, status_index).add();
  duration_.observe(seconds);
}

Counter& RouteMetrics::counter(std::size_t method, std::size_t status) {
  Statuses* statuses = methods_[method].load(std::memory_order_acquire);
  if (statuses == nullptr) {
    const std::lock_guard lock(mutex_);
    if (!owned_[method]) owned_[method] = std::make_unique<Statuses>();
    statuses = owned_[method].get();
    methods_[method].store(statuses, std::memory_order_release);
  }
  Counter* counter = (*statuses)[status].load(std::memory_order_acquire);
  if (counter == nullptr) {
    const std::string text = status == kStatuses - 1 ? "0" : std::to_string(status + 100);
    counter = &metrics_.counter("llm_mcp_http_requests_total", "HTTP requests answered, by route pattern.",
                                {{"route", route_}, {"method", std::string(kMethodNames[method])}, {"status", text}});
    (*statuses)[status].store(counter, std::memory_order_release);  // all who race here store the same one
  }
  return *counter;
}

OperationMetrics::OperationMetrics(Metrics& metrics, std::string model, std::string operation)
    : metrics_(metrics),
      model_(std::move(model)),
      operation_(std::move(operation)),
      duration_(metrics.histogram("llm_mcp_inference_duration_seconds",
                                  "Time from admission to the end of an inference request.",
                                  {{"model", model_}, {"operation", operation_}}, kInferenceSeconds)) {}

void OperationMetrics::finished(std::optional<ErrorCode> error, double seconds) {
  const std::size_t index = error ? static_cast<std::size_t>(*error) + 1 : 0;
  Counter* counter = outcomes_[index].load(std::memory_order_acquire);
  if (counter == nullptr) {
    const std::string outcome(error ? describe(*error).name : "ok");
    counter = &metrics_.counter("llm_mcp_inference_requests_total",
                                "Inference requests that ended; outcome is ok or the error code.",
                                {{"model", model_}, {"operation", operation_}, {"outcome", outcome}});
    outcomes_[index].store(counter, std::memory_order_release);
  }
  counter->add();
  duration_.observe(seconds);
}

ModelMetrics::ModelMetrics(Metrics& metrics, std::string model)
    : metrics_(metrics),
      model_(std::move(model)),
      first_token_(metrics.histogram("llm_mcp_time_to_first_token_seconds",
                                     "Time from admission to the first token, queue and prefill included.",
                                     {{"model", model_}}, kFirstTokenSeconds)),
      per_token_(metrics.histogram("llm_mcp_time_per_output_token_seconds",
                                   "Mean time of one output token after the first, one observation for each answer.",
                                   {{"model", model_}}, kPerTokenSeconds)),
      load_(metrics.histogram("llm_mcp_engine_load_seconds", "Time from starting an engine to its being ready.",
                              {{"model", model_}}, kLoadSeconds)),
      prompt_tokens_(
          metrics.counter("llm_mcp_tokens_total", "Tokens processed.", {{"model", model_}, {"type", "prompt"}})),
      completion_tokens_(
          metrics.counter("llm_mcp_tokens_total", "Tokens processed.", {{"model", model_}, {"type", "completion"}})),
      restarts_(metrics.counter("llm_mcp_engine_restarts_total", "Engines restarted after they failed.",
                                {{"model", model_}})),
      in_flight_(metrics.gauge("llm_mcp_requests_in_flight", "Inference requests admitted and not yet ended.",
                               {{"model", model_}})),
      memory_(metrics.gauge("llm_mcp_engine_memory_bytes",
                            "Memory that the model's engines hold, by the memory ledger.", {{"model", model_}})) {}

OperationMetrics& ModelMetrics::operation(std::string_view name) {
  return operations_.find_or_add(name, [this](std::string label) {
    return std::make_unique<OperationMetrics>(metrics_, model_, std::move(label));
  });
}

void ModelMetrics::tokens(std::uint64_t prompt, std::uint64_t completion) {
  prompt_tokens_.add(static_cast<double>(prompt));
  completion_tokens_.add(static_cast<double>(completion));
}

void ModelMetrics::engine_state(std::string_view state) {
  const std::lock_guard lock(mutex_);
  if (!states_.contains(state) && states_.size() >= kMostStates) state = "other";
  auto at = states_.find(state);
  if (at == states_.end()) {
    auto& gauge = metrics_.gauge("llm_mcp_engine_state", "1 for the state that the model's engine is in.",
                                 {{"model", model_}, {"state", std::string(state)}});
    at = states_.emplace(state, &gauge).first;
  }
  for (auto& [name, gauge] : states_) gauge->set(gauge == at->second ? 1 : 0);
}

GatewayMetrics::GatewayMetrics(const std::string& version)
    : connections_(metrics_.gauge("llm_mcp_http_connections", "Open client connections.")),
      pull_bytes_(metrics_.counter("llm_mcp_pull_bytes_total", "Bytes of models downloaded.")) {
  metrics_.gauge("llm_mcp_build_info", "Always 1; the label says which version runs.", {{"version", version}}).set(1);
  metrics_.add_source([] { return process_metrics(); });
}

RouteMetrics& GatewayMetrics::route(std::string_view pattern) {
  return routes_.find_or_add(
      pattern, [this](std::string label) { return std::make_unique<RouteMetrics>(metrics_, std::move(label)); });
}

ModelMetrics& GatewayMetrics::add_model(std::string_view name) {
  return models_.find_or_add(
      name, [this](std::string label) { return std::make_unique<ModelMetrics>(metrics_, std::move(label)); });
}

ModelMetrics& GatewayMetrics::model(std::string_view name) {
  if (ModelMetrics* known = models_.find(name)) return *known;
  return models_.other(
      [this](std::string label) { return std::make_unique<ModelMetrics>(metrics_, std::move(label)); });
}

}  // namespace llm::observe
