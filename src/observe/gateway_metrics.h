#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "observe/handle_table.h"
#include "observe/metrics.h"

namespace llm::observe {

// The metrics of the gateway by name; docs and dashboards rely on these names. Label values are bounded: routes and
// models by kMost… below (what comes after them counts as "other"), operations by 16 for each model, states by 16.
// Every member of every class here may be called by any thread; after the first call with the same arguments no
// member that counts something takes a lock of ours or allocates.

// llm_mcp_http_requests_total{route,method,status} and llm_mcp_http_request_duration_seconds{route} of one route.
class RouteMetrics {
 public:
  RouteMetrics(Metrics& metrics, std::string route);
  // `method` as in the request (unknown ones count as "OTHER"); `status` 100-599, else it counts as "0".
  void request(std::string_view method, int status, double seconds);

 private:
  static constexpr std::size_t kMethods = 8;
  static constexpr std::size_t kStatuses = 501;
  using Statuses = std::array<std::atomic<Counter*>, kStatuses>;
  Counter& counter(std::size_t method, std::size_t status);

  Metrics& metrics_;
  const std::string route_;
  Histogram& duration_;
  std::array<std::atomic<Statuses*>, kMethods> methods_{};
  std::mutex mutex_;  // guards making the arrays
  std::array<std::unique_ptr<Statuses>, kMethods> owned_;
};

// llm_mcp_inference_requests_total{model,operation,outcome} and llm_mcp_inference_duration_seconds{model,operation}.
// An outcome is "ok" or the name of the error code (base/error.h).
class OperationMetrics {
 public:
  OperationMetrics(Metrics& metrics, std::string model, std::string operation);
  void finished(std::optional<ErrorCode> error, double seconds);

 private:
  static constexpr std::size_t kOutcomes = static_cast<std::size_t>(ErrorCode::kInternal) + 2;

  Metrics& metrics_;
  const std::string model_;
  const std::string operation_;
  Histogram& duration_;
  std::array<std::atomic<Counter*>, kOutcomes> outcomes_{};
};

// Everything that has a model label.
class ModelMetrics {
 public:
  static constexpr std::size_t kMostOperations = 16;

  ModelMetrics(Metrics& metrics, std::string model);

  // `name` is the protocol's word, such as "chat", "completion", "embedding", "rerank".
  OperationMetrics& operation(std::string_view name);
  void time_to_first_token(double seconds) { first_token_.observe(seconds); }
  // The mean over one answer: (end - first token) / (tokens - 1).
  void time_per_output_token(double seconds) { per_token_.observe(seconds); }
  void tokens(std::uint64_t prompt, std::uint64_t completion);
  void request_started() { in_flight_.add(); }
  void request_ended() { in_flight_.sub(); }

  // The engine behind the model. Exactly one state is 1, all that were seen before are 0.
  void engine_state(std::string_view state);
  void engine_restarted() { restarts_.add(); }
  void engine_loaded(double seconds) { load_.observe(seconds); }
  void engine_memory(std::uint64_t bytes) { memory_.set(static_cast<double>(bytes)); }

 private:
  Metrics& metrics_;
  const std::string model_;
  Histogram& first_token_;
  Histogram& per_token_;
  Histogram& load_;
  Counter& prompt_tokens_;
  Counter& completion_tokens_;
  Counter& restarts_;
  Gauge& in_flight_;
  Gauge& memory_;
  HandleTable<OperationMetrics, kMostOperations> operations_;
  std::mutex mutex_;  // guards the states, which change rarely
  std::map<std::string, Gauge*, std::less<>> states_;
};

class GatewayMetrics {
 public:
  static constexpr std::size_t kMostRoutes = 200;
  static constexpr std::size_t kMostModels = 200;

  explicit GatewayMetrics(const std::string& version);

  // The metrics of one row of the route table ("/v1/models/{id}", never a path that a client sent). Keep the reference.
  RouteMetrics& route(std::string_view pattern);
  // Makes a model known: the store, the configuration and the providers call this, requests never do.
  ModelMetrics& add_model(std::string_view name);
  // The metrics of a known model; of "other" for every name that nobody added. No lock.
  ModelMetrics& model(std::string_view name);

  void connection_opened() { connections_.add(); }
  void connection_closed() { connections_.sub(); }
  void pulled(std::uint64_t bytes) { pull_bytes_.add(static_cast<double>(bytes)); }

  // For what only one place knows: its own series beside the named ones.
  Metrics& registry() { return metrics_; }
  std::string render() const { return metrics_.render(); }

 private:
  Metrics metrics_;
  Gauge& connections_;
  Counter& pull_bytes_;
  HandleTable<RouteMetrics, kMostRoutes> routes_;
  HandleTable<ModelMetrics, kMostModels> models_;
};

}  // namespace llm::observe
