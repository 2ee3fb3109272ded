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
#include "inference/answer_cache.h"
#include "net/http_client.h"
#include "observe/gateway_metrics.h"
#include "observe/log.h"
#include "router/router.h"

namespace llm::inference {

enum class Operation { kChat, kCompletion, kEmbedding, kRerank, kTokenize, kDetokenize };
std::string_view to_string(Operation operation);

// Who answers, told before the first byte of the answer.
struct Served {
  std::string model;    // what answers call it
  std::string version;  // "qwen3:8b@sha256:…"
  std::string engine;   // key of the replica; empty: the cache
  bool leaves_machine = false;
  std::string_view cache;     // "hit", "miss"; empty: not asked
  std::uint32_t attempt = 1;  // 2: the second engine that was asked
};

// What does not stand in a request's body: how it is routed, and who hears of it.
struct CallOptions {
  // Hears where the caller stands with its limits, before anything is sent, also when one of them refuses the request.
  std::function<void(const access::LimitReport&)> on_limits = {};
  // Hears who answers, before anything is sent.
  std::function<void(const Served&)> on_served = {};
  std::chrono::milliseconds timeout{0};  // for everything, from the beginning to the end of the answer; 0: the model's
  std::string session = {};              // keeps requests that belong together on one replica; empty: none
  std::optional<bool> cache = {};        // exact answers from the cache: asked for, refused, or as the model has it
};

// One piece of work for an engine, in the OpenAI API's shape, whatever protocol it came by.
struct Request {
  Operation operation = Operation::kChat;
  json::object body;  // `model` names the model; unknown fields go to the engine as they are
  bool stream = false;
  bool usage_wanted = false;  // streams: the client asked for the usage event (stream_options.include_usage)
  std::string request_id;
  access::Principal principal;
  std::optional<json::Duration> keep_alive;
  CallOptions options = {};
};

struct Usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t cached_tokens = 0;
};

// How a request ended.
struct Outcome {
  std::string model;    // what answered
  std::string version;  // and which version of it
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

// The one door to the engines: every protocol's requests pass here and nowhere else. Authorize → plan → reserve → look
// into the cache → admit → make an engine ready → send → stream → settle; what fails before the first byte of an answer
// may be tried elsewhere. Thread-safe; a request runs on the loop of its caller.
class Service {
 public:
  // `access` may be null: then nobody is limited and nothing is booked. `cache` may be null.
  Service(ServiceSettings settings, Admission& admission, router::Router& router, engines::Supervisor& supervisor,
          observe::Log& log, observe::GatewayMetrics& metrics, access::AccessControl* access = nullptr,
          AnswerCache* cache = nullptr);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Every loop that runs requests has a client of its own. Before the loops start.
  void add_loop(Loop& loop, net::HttpClient& client);
  net::HttpClient& client_of(Loop& loop) const;

  // `sink` may be null for requests that do not stream. Cancel aborts the generation inside the engine.
  Task<Result<Outcome>> run(Request request, Sink* sink, Loop& loop, CancelToken cancel);

  std::size_t in_flight() const { return admission_.running(); }

  // Ends the copies that shadows get, on their loops; returns when none runs there any more. Called on each loop.
  Task<void> stop_shadows(Loop& loop);

 private:
  struct Flight;   // one request's state on its way
  struct Attempt;  // one engine's turn at it
  struct LoopState;
  Task<Result<void>> dispatch(Flight& flight);
  Task<Result<void>> plan_route(Flight& flight, std::string name);

  // service_cache.cc
  Task<Result<bool>> answer_from_cache(Flight& flight);
  void keep_event(Flight& flight, std::string_view payload) const;
  void keep_answer(Flight& flight);

  // service_attempts.cc
  Task<Result<void>> try_steps(Flight& flight);
  Task<Result<void>> try_step(Flight& flight, std::size_t number);
  Task<Result<void>> try_once(Flight& flight, Attempt& attempt);
  Task<Result<void>> race(Flight& flight, Attempt& first, const router::RouteStep& step);
  Task<Result<void>> serve(Flight& flight, Attempt& attempt);
  Task<Result<engines::Lease>> make_ready(Flight& flight, Attempt& attempt);
  Task<Result<Admission::Ticket>> wait_for_capacity(const Flight& flight, const Attempt& attempt);

  // service_exchange.cc
  struct Upstream;
  Result<Upstream> make_upstream(Flight& flight, Attempt& attempt, bool stream);
  Task<Result<void>> exchange(Flight& flight, Attempt& attempt, bool stream);
  Task<Result<void>> receive_whole(Flight& flight, Attempt& attempt, net::ClientResponse& response);
  void settle(const Flight& flight, const Result<void>& result);

  // service_stream.cc
  struct Reading;
  Task<Result<void>> receive_stream(Flight& flight, Attempt& attempt, net::ClientResponse& response);
  Task<Result<void>> pass_on(Reading& reading);
  Task<Result<void>> finish_stream(Reading& reading);
  static void tell_who_serves(const Flight& flight, const Attempt& attempt);
  static void arm_first_token(Flight& flight, Attempt& attempt);

  // service_shadows.cc
  void send_shadows(const Flight& flight);
  Task<void> shadow(std::shared_ptr<const router::CatalogueEntry> entry, Request request, LoopState& state);
  LoopState& state_of(Loop& loop) const;

  ServiceSettings settings_;
  Admission& admission_;
  std::mutex mutex_;                                          // of queues_
  std::map<std::string, std::unique_ptr<Admission>> queues_;  // by engine; an engine's queue is kept for ever
  router::Router& router_;
  engines::Supervisor& supervisor_;
  observe::Log& log_;
  observe::GatewayMetrics& metrics_;
  access::AccessControl* access_;
  AnswerCache* cache_;
  std::vector<std::unique_ptr<LoopState>> loops_;
};

}  // namespace llm::inference
