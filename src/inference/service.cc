#include "inference/service.h"

#include <fmt/format.h>

#include "inference/checks.h"
#include "inference/default_model.h"
#include "inference/flight.h"
#include "inference/model_rights.h"

namespace llm::inference {
namespace {

// The gauge of requests at work, for as long as one is.
class InFlight {
 public:
  explicit InFlight(observe::ModelMetrics& metrics) : metrics_(metrics) { metrics_.request_started(); }
  ~InFlight() { metrics_.request_ended(); }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

 private:
  observe::ModelMetrics& metrics_;
};

}  // namespace

std::string_view to_string(Operation operation) {
  switch (operation) {
    case Operation::kChat:
      return "chat";
    case Operation::kCompletion:
      return "completion";
    case Operation::kEmbedding:
      return "embedding";
    case Operation::kRerank:
      return "rerank";
    case Operation::kTokenize:
      return "tokenize";
    case Operation::kDetokenize:
      return "detokenize";
  }
  return "other";
}

Service::Service(ServiceSettings settings, Admission& admission, router::Catalogue& catalogue,
                 engines::Supervisor& supervisor, observe::Log& log, observe::GatewayMetrics& metrics,
                 access::AccessControl* access)
    : settings_(settings),
      admission_(admission),
      catalogue_(catalogue),
      supervisor_(supervisor),
      log_(log),
      metrics_(metrics),
      access_(access) {}

net::HttpClient& Service::client_of(Loop& loop) const {
  for (const auto& [owner, client] : clients_) {
    if (owner == &loop) return *client;
  }
  std::abort();  // a loop the wiring forgot
}

Task<Result<Outcome>> Service::run(Request request, Sink* sink, Loop& loop, CancelToken cancel) {
  Flight flight(std::move(request), sink, loop, std::move(cancel), access_);
  auto result = co_await dispatch(flight);
  const Usage& used = result ? flight.outcome.usage : flight.partial;
  const std::string_view model = flight.entry ? std::string_view(flight.entry->spec->key) : std::string_view();
  if (auto booked = co_await flight.booking.settle(model, used, result, loop); !booked && result) result = booked;
  settle(flight, result);
  if (!result) co_return fail(result.error());
  co_return std::move(flight.outcome);
}

Task<Result<engines::Lease>> Service::make_ready(Flight& flight) {
  engines::Supervisor::AcquireOptions options;
  options.keep_alive = flight.request.keep_alive;
  options.timeout = settings_.load_timeout;
  if (flight.sink) {
    options.progress = [&flight](engines::LoadProgress progress) -> Task<Result<void>> {
      co_return co_await flight.sink->on_loading(flight.entry->spec->model, progress);
    };
  }
  co_return co_await supervisor_.acquire(flight.entry->spec, std::move(options), flight.cancel);
}

// An engine is handed what it can take and little more: what waits here leaves at once when its client goes, and costs
// the engine nothing.
Task<Result<Admission::Ticket>> Service::wait_for_capacity(const Flight& flight) {
  const std::size_t capacity = flight.lease.info().capacity;
  if (capacity == 0) co_return Admission::Ticket();
  const auto& spec = *flight.entry->spec;
  Admission* queue = nullptr;
  {
    const std::lock_guard lock(mutex_);
    auto& slot = queues_[spec.key];
    if (!slot) {
      slot = std::make_unique<Admission>(AdmissionSettings{.subject = fmt::format("model \"{}\"", spec.model),
                                                           .max_concurrent = capacity,
                                                           .queue_limit = settings_.engine_queue_limit,
                                                           .queue_timeout = settings_.engine_queue_timeout});
    }
    queue = slot.get();
  }
  queue->set_max_concurrent(capacity);
  co_return co_await queue->enter(flight.booking.claim(), flight.cancel);
}

// Who asks for what: everything that needs no engine.
Task<Result<void>> Service::dispatch(Flight& flight) {
  Request& request = flight.request;
  auto checked = check_request(request);
  if (!checked) co_return fail(checked.error());
  if (auto within = flight.booking.check_caps(); !within) co_return within;
  flight.choices = checked->choices;
  flight.several = checked->several;
  auto entry = co_await resolve_model(catalogue_, supervisor_, checked->model, mode_of(request.operation));
  const std::string_view found = entry ? std::string_view((*entry)->spec->key) : std::string_view();
  if (auto may = check_model_right(request.principal, access::Permission::kGenerate, checked->model, found); !may) {
    co_return may;
  }
  if (!entry) co_return fail(entry.error());
  flight.entry = *entry;
  const auto& spec = *flight.entry->spec;
  flight.outcome.model = spec.model;
  if (auto reserved = co_await flight.booking.reserve(spec.key, flight.loop, flight.cancel); !reserved) {
    co_return reserved;
  }
  auto ticket = co_await admission_.enter(flight.booking.claim(), flight.cancel);
  if (!ticket) co_return fail(ticket.error());
  auto served = co_await serve(flight);
  const Usage& used = served ? flight.outcome.usage : flight.partial;
  ticket->settle(used.prompt_tokens + used.completion_tokens);
  co_return served;
}

// From a place among those at work to the end of the answer.
Task<Result<void>> Service::serve(Flight& flight) {
  Request& request = flight.request;
  const auto& spec = *flight.entry->spec;
  const InFlight counted(metrics_.model(spec.key));
  if (auto servable = router::check_servable(*flight.entry); !servable) co_return servable;
  if (auto fits = check_mode(request.operation, spec); !fits) co_return fits;
  auto lease = co_await make_ready(flight);
  if (!lease) co_return fail(lease.error());
  flight.lease = std::move(*lease);
  const engines::EngineInfo& info = flight.lease.info();
  if (auto able = check_abilities(request, info, spec.model); !able) co_return able;

  // The engine's sum of usage over several completions is wrong unless it streams: each stream reports its own. And a
  // llama-server that does not stream looks for a closed connection only after a second without results for anybody, so
  // that under load it finishes what nobody waits for.
  const bool generates = request.operation == Operation::kChat || request.operation == Operation::kCompletion;
  flight.assemble = generates && !request.stream && (flight.several || info.is_llama_server);
  const bool stream = generates && (request.stream || flight.assemble);
  request.body["model"] = info.upstream_model;
  request.body["stream"] = stream;
  if (stream) request.body["stream_options"] = json::object{{"include_usage", true}};
  if (!generates) request.body.erase("stream");
  // Only its progress tells what a request has used that is cancelled before its end.
  if (stream && info.is_llama_server && flight.booking.counts_partial() && !request.body.contains("return_progress")) {
    request.body["return_progress"] = true;
    flight.hide_progress = true;
  }
  auto turn = co_await wait_for_capacity(flight);
  if (!turn) co_return fail(turn.error());
  flight.booking.begin();
  auto received = co_await exchange(flight, stream);
  const Usage& used = received ? flight.outcome.usage : flight.partial;
  turn->settle(used.prompt_tokens + used.completion_tokens);
  if (!received && flight.cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "the request was cancelled");
  if (!received && flight.broken) co_return fail(co_await supervisor_.explain(flight.lease, received.error()));
  co_return received;
}

void Service::settle(const Flight& flight, const Result<void>& result) {
  const double seconds = flight.seconds();
  const std::string_view model = flight.entry ? std::string_view(flight.entry->spec->key) : std::string_view("unknown");
  auto& metrics = metrics_.model(model);
  const std::string_view operation = to_string(flight.request.operation);
  metrics.operation(operation).finished(result ? std::nullopt : std::optional(result.error().code), seconds);
  const Usage& usage = flight.outcome.usage;
  if (result) {
    metrics.tokens(static_cast<std::uint64_t>(usage.prompt_tokens),
                   static_cast<std::uint64_t>(usage.completion_tokens));
    metrics.time_to_first_token(flight.first_token);
    if (flight.request.stream && usage.completion_tokens > 1) {
      metrics.time_per_output_token((seconds - flight.first_token) / static_cast<double>(usage.completion_tokens - 1));
    }
  }
  const auto level =
      result || result.error().code == ErrorCode::kCancelled ? observe::LogLevel::kInfo : observe::LogLevel::kWarn;
  if (!log_.enabled(level)) return;
  log_.log(level, "inference",
           {{"request_id", flight.request.request_id},
            {"principal", flight.request.principal.id},
            {"model", model},
            {"operation", operation},
            {"outcome", result ? std::string_view("ok") : describe(result.error().code).name},
            {"error", result ? std::string_view() : std::string_view(result.error().message)},
            {"prompt_tokens", usage.prompt_tokens},
            {"completion_tokens", usage.completion_tokens},
            {"first_token_ms", flight.first_token * 1000},
            {"ms", seconds * 1000}});
}

}  // namespace llm::inference
