#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "access/access_control.h"
#include "access/principal.h"
#include "async/cancel.h"
#include "async/loop.h"
#include "engines/supervisor.h"
#include "inference/admission.h"
#include "net/http_client.h"
#include "observe/gateway_metrics.h"
#include "observe/log.h"
#include "router/catalogue.h"

namespace llm::inference {

enum class Operation { kChat, kCompletion, kEmbedding, kRerank, kTokenize, kDetokenize };
std::string_view to_string(Operation operation);

// One piece of work for an engine, in the OpenAI API's shape, whatever protocol it came by.
struct Request {
  Operation operation = Operation::kChat;
  json::object body;  // `model` names the model; unknown fields go to the engine as they are
  bool stream = false;
  bool usage_wanted = false;  // streams: the client asked for the usage event (stream_options.include_usage)
  std::string request_id;
  access::Principal principal;
  std::optional<json::Duration> keep_alive;
  // Hears where the caller stands with its limits, before anything is sent, also when one of them refuses the request.
  std::function<void(const access::LimitReport&)> on_limits = {};
};

struct Usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t cached_tokens = 0;
};

// How a request ended.
struct Outcome {
  std::string model;  // what answered
  Usage usage;
  std::string finish_reason;  // of the first choice
  json::value timings;        // the engine's, null if it gave none
  std::string body;           // not streamed: the engine's answer
};

// Where the answer goes. All calls on the request's loop, one after the other; an error ends the generation.
class Sink {
 public:
  virtual ~Sink() = default;
  // The model is being loaded; more may follow.
  virtual Task<Result<void>> on_loading(std::string_view model, const engines::LoadProgress& progress) = 0;
  // Payloads of the engine's events ("data:" of SSE, without [DONE]) that arrived together. Views live for the call.
  virtual Task<Result<void>> on_events(std::span<const std::string_view> payloads) = 0;
};

struct ServiceSettings {
  std::chrono::milliseconds load_timeout{600'000};
  std::size_t engine_queue_limit = 256;                     // requests that wait for one engine; one more gets a 503
  std::chrono::milliseconds engine_queue_timeout{600'000};  // how long they wait
  bool log_prompts = false;
};

// The one door to the engines: every protocol's requests pass here and nowhere else. Authorize → admit → resolve the
// model → make its engine ready → send → stream → settle. Thread-safe; a request runs on the loop of its caller.
class Service {
 public:
  // `access` may be null: then nobody is limited and nothing is booked.
  Service(ServiceSettings settings, Admission& admission, router::Catalogue& catalogue, engines::Supervisor& supervisor,
          observe::Log& log, observe::GatewayMetrics& metrics, access::AccessControl* access = nullptr);
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Every loop that runs requests has a client of its own. Before the loops start.
  void add_loop(Loop& loop, net::HttpClient& client) { clients_.emplace_back(&loop, &client); }

  // `sink` may be null for requests that do not stream. Cancel aborts the generation inside the engine.
  Task<Result<Outcome>> run(Request request, Sink* sink, Loop& loop, CancelToken cancel);

  std::size_t in_flight() const { return admission_.running(); }

 private:
  struct Flight;  // one request's state on its way
  Task<Result<void>> dispatch(Flight& flight);
  Task<Result<void>> serve(Flight& flight);
  Task<Result<engines::Lease>> make_ready(Flight& flight);
  Task<Result<Admission::Ticket>> wait_for_capacity(const Flight& flight);
  Task<Result<void>> exchange(Flight& flight, bool stream);
  Task<Result<void>> receive_stream(Flight& flight, net::ClientResponse& response);
  Task<Result<void>> receive_whole(Flight& flight, net::ClientResponse& response);
  void settle(const Flight& flight, const Result<void>& result);
  net::HttpClient& client_of(Loop& loop) const;

  ServiceSettings settings_;
  Admission& admission_;
  std::mutex mutex_;                                          // of queues_
  std::map<std::string, std::unique_ptr<Admission>> queues_;  // by engine; an engine's queue is kept for ever
  router::Catalogue& catalogue_;
  engines::Supervisor& supervisor_;
  observe::Log& log_;
  observe::GatewayMetrics& metrics_;
  access::AccessControl* access_;
  std::vector<std::pair<Loop*, net::HttpClient*>> clients_;
};

}  // namespace llm::inference
