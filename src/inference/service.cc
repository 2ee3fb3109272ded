#include "inference/service.h"

#include <array>
#include <fmt/format.h>

#include "inference/assemble.h"
#include "inference/checks.h"
#include "inference/default_model.h"
#include "inference/stream_scan.h"
#include "net/sse.h"

namespace llm::inference {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kMostErrorBytes = 1024 * 1024;
constexpr std::chrono::milliseconds kEndPatience{1'000};

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::string_view engine_path(Operation operation, bool llama_server) {
  switch (operation) {
    case Operation::kChat:
      return "/chat/completions";
    case Operation::kCompletion:
      return "/completions";
    case Operation::kEmbedding:
      return "/embeddings";
    case Operation::kRerank:
      return "/rerank";
    case Operation::kTokenize:
      return llama_server ? "/../tokenize" : "/tokenize";
    case Operation::kDetokenize:
      return llama_server ? "/../detokenize" : "/detokenize";
  }
  return "/";
}

// An external base URL ends in the API's version ("…/v1"); the child has its API under /v1 and its own calls at the
// root.
std::string target_of(Operation operation, const engines::EngineInfo& info) {
  const std::string_view path = engine_path(operation, info.is_llama_server);
  if (!info.is_llama_server) return std::string(path);
  return path.starts_with("/..") ? std::string(path.substr(3)) : "/v1" + std::string(path);
}

// Usage, timings and finish reason of a whole answer. The document is gone at the end, so its memory comes off the
// stack.
Result<void> read_answer(std::string_view body, Outcome& outcome) {
  std::array<unsigned char, 8192> memory;
  boost::json::monotonic_resource resource(memory.data(), memory.size());
  const auto answer = json::parse(body, {.max_depth = 256}, &resource);
  if (!answer || !answer->is_object()) return fail(ErrorCode::kEngineFailed, "the engine's answer is not JSON");
  const auto& object = answer->get_object();
  outcome.usage = usage_of(object);
  if (const auto* timings = json::find(object, "timings")) outcome.timings = *timings;
  if (const auto* choices = json::find(object, "choices");
      choices && choices->is_array() && !choices->get_array().empty() && choices->get_array()[0].is_object()) {
    outcome.finish_reason = json::string_or(choices->get_array()[0].get_object(), "finish_reason");
  }
  return {};
}

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

struct Service::Flight {
  Request request;
  Sink* sink;
  Loop& loop;
  CancelToken cancel;
  Clock::time_point begin = Clock::now();
  std::shared_ptr<const router::CatalogueEntry> entry = nullptr;
  engines::Lease lease = {};
  std::int64_t choices = 1;   // `n`
  bool several = false;       // more than one completion: n > 1 or several prompts
  bool assemble = false;      // asked as a stream although the client did not ask for one; see dispatch()
  double first_token = 0;     // seconds
  bool broken = false;        // the connection to the engine broke
  CancelSource give_up = {};  // ends the exchange with the engine; follows `cancel`
  Outcome outcome = {};
};

Service::Service(ServiceSettings settings, Admission& admission, router::Catalogue& catalogue,
                 engines::Supervisor& supervisor, observe::Log& log, observe::GatewayMetrics& metrics)
    : settings_(settings),
      admission_(admission),
      catalogue_(catalogue),
      supervisor_(supervisor),
      log_(log),
      metrics_(metrics) {}

net::HttpClient& Service::client_of(Loop& loop) const {
  for (const auto& [owner, client] : clients_) {
    if (owner == &loop) return *client;
  }
  std::abort();  // a loop the wiring forgot
}

Task<Result<Outcome>> Service::run(Request request, Sink* sink, Loop& loop, CancelToken cancel) {
  Flight flight{.request = std::move(request), .sink = sink, .loop = loop, .cancel = std::move(cancel)};
  Result<void> result;
  auto ticket = co_await admission_.enter(flight.cancel);
  if (!ticket) {
    result = fail(ticket.error());
  } else {
    result = co_await dispatch(flight);
  }
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
  co_return co_await queue->enter(flight.cancel);
}

Task<Result<void>> Service::dispatch(Flight& flight) {
  Request& request = flight.request;
  auto checked = check_request(request);
  if (!checked) co_return fail(checked.error());
  flight.choices = checked->choices;
  flight.several = checked->several;
  auto entry = co_await resolve_model(catalogue_, supervisor_, checked->model, mode_of(request.operation));
  if (!entry) co_return fail(entry.error());
  flight.entry = *entry;
  const auto& spec = *flight.entry->spec;
  flight.outcome.model = spec.model;
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
  flight.assemble = generates && !request.stream && (checked->several || info.is_llama_server);
  const bool stream = generates && (request.stream || flight.assemble);
  request.body["model"] = info.upstream_model;
  request.body["stream"] = stream;
  if (stream) request.body["stream_options"] = json::object{{"include_usage", true}};
  if (!generates) request.body.erase("stream");
  const auto turn = co_await wait_for_capacity(flight);
  if (!turn) co_return fail(turn.error());
  auto received = co_await exchange(flight, stream);
  if (!received && flight.cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "the request was cancelled");
  if (!received && flight.broken) co_return fail(co_await supervisor_.explain(flight.lease, received.error()));
  co_return received;
}

Task<Result<void>> Service::exchange(Flight& flight, bool stream) {
  const Request& request = flight.request;
  const engines::EngineInfo& info = flight.lease.info();
  const std::string body = json::write(request.body);
  const std::string target = target_of(request.operation, info);
  const std::string authorization = info.api_key.empty() ? std::string() : "Bearer " + info.api_key;
  net::ClientRequest upstream{.method = "POST",
                              .target = target,
                              .content_type = "application/json",
                              .body = body,
                              .head_timeout = info.request_timeout};
  if (!authorization.empty()) upstream.headers.emplace_back("Authorization", authorization);
  upstream.headers.emplace_back("X-Request-Id", request.request_id);
  // A connection kept alive would hold one of its threads; a new one costs microseconds on a Unix socket.
  if (info.is_llama_server && !info.external) upstream.headers.emplace_back("Connection", "close");
  if (settings_.log_prompts) log_.info("prompt", {{"request_id", request.request_id}, {"body", body}});
  const auto follow = flight.cancel.on_cancel([&flight] { flight.give_up.cancel(); });
  // What goes wrong with the connection is for the supervisor to explain; an answer speaks for itself.
  flight.broken = true;
  auto response = co_await client_of(flight.loop).send(info.endpoint, std::move(upstream), flight.give_up.token());
  if (!response) co_return fail(response.error());
  if (response->status() != 200) {
    auto text = co_await response->read_all(kMostErrorBytes);
    if (!text) co_return fail(text.error());
    flight.broken = false;
    co_return fail(engine_error(response->status(), *text, flight.entry->spec->model));
  }
  if (stream) co_return co_await receive_stream(flight, *response);
  co_return co_await receive_whole(flight, *response);
}

Task<Result<void>> Service::receive_whole(Flight& flight, net::ClientResponse& response) {
  auto body = co_await response.read_all();
  if (!body) co_return fail(body.error());
  flight.broken = false;
  flight.first_token = seconds_since(flight.begin);
  const auto first = body->find_first_not_of(" \t\r\n");
  if (first == std::string::npos || ((*body)[first] != '{' && (*body)[first] != '[')) {
    co_return fail(
        ErrorCode::kEngineFailed,
        fmt::format("the engine of model \"{}\" answered with something else than JSON", flight.outcome.model));
  }
  // Only the tail of the answer is of interest here, and answers without usage (tokenize) need no parsing at all.
  if (body->find("\"usage\"") != std::string::npos) {
    if (auto read = read_answer(*body, flight.outcome); !read) co_return read;
  }
  flight.outcome.body = std::move(*body);
  co_return Result<void>();
}

Task<Result<void>> Service::receive_stream(Flight& flight, net::ClientResponse& response) {
  net::SseParser parser({.max_event_bytes = 16 * 1024 * 1024});
  StreamScan scan(flight.request.operation, flight.choices, flight.several, flight.request.usage_wanted,
                  flight.entry->spec->model);
  Assembler assembler(flight.request.operation == Operation::kChat);
  std::vector<std::string_view> payloads;
  std::vector<std::pair<std::size_t, std::size_t>> spans;  // of the payloads that lie in `copies`
  std::string copies;
  bool done = false;
  Result<void> failure;
  while (!done) {
    flight.broken = true;
    auto bytes = co_await response.read();
    if (!bytes) co_return fail(bytes.error());
    if (bytes->empty()) {
      // Whole by its framing; some engines send no [DONE].
      if (!scan.finish_reason().empty()) break;
      co_return fail(ErrorCode::kEngineFailed, "the engine ended its answer without finishing it");
    }
    flight.broken = false;  // what fails below is no matter of the connection
    // Events end inside this loop, so what they point to (the chunk, the parser's own copy) is handed on at once.
    copies.clear();
    payloads.clear();
    spans.clear();
    const auto chunk = *bytes;
    const auto fed = parser.feed(chunk, [&](const net::SseEvent& event) {
      if (done || !failure) return;  // nothing counts after the end
      std::string_view payload = event.data;
      switch (scan.look(payload)) {
        case StreamScan::Verdict::kDone:
          done = true;
          return;
        case StreamScan::Verdict::kError:
          failure = fail(scan.error());
          return;
        case StreamScan::Verdict::kDrop:
          return;
        case StreamScan::Verdict::kReplace:
          payload = scan.replacement();
          break;
        case StreamScan::Verdict::kForward:
          break;
      }
      const bool in_chunk =
          payload.data() >= chunk.data() && payload.data() + payload.size() <= chunk.data() + chunk.size();
      if (in_chunk) {
        payloads.push_back(payload);
        spans.emplace_back(std::string::npos, 0);
      } else {
        spans.emplace_back(copies.size(), payload.size());
        copies.append(payload);
        payloads.emplace_back();
      }
    });
    if (!fed) co_return fail(ErrorCode::kEngineFailed, "the engine's stream is malformed: " + fed.error().message);
    for (std::size_t i = 0; i < payloads.size(); ++i) {
      if (spans[i].first != std::string::npos)
        payloads[i] = std::string_view(copies).substr(spans[i].first, spans[i].second);
    }
    if (flight.first_token == 0 && scan.saw_text()) flight.first_token = seconds_since(flight.begin);
    if (flight.assemble) {
      for (const auto payload : payloads) {
        if (auto added = assembler.add(payload); !added) co_return added;
      }
    } else if (!payloads.empty() && flight.sink) {
      if (auto taken = co_await flight.sink->on_events(payloads); !taken) co_return taken;
    }
    if (!failure) co_return failure;
  }
  // The end of the body frees the connection for the next request. It comes with the last event or right after it; an
  // engine that lets us wait for it loses the connection instead.
  Deadline patience([&flight] { flight.give_up.cancel(); });
  flight.loop.wheel().arm(patience, kEndPatience);
  if (done) (void)co_await response.read();
  patience.clear();
  flight.outcome.usage = scan.usage();
  flight.outcome.finish_reason = scan.finish_reason();
  flight.outcome.timings = scan.timings();
  if (flight.assemble) {
    json::object answer = std::move(assembler).finish();
    const Usage& usage = flight.outcome.usage;
    answer["usage"] = json::object{{"prompt_tokens", usage.prompt_tokens},
                                   {"completion_tokens", usage.completion_tokens},
                                   {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
                                   {"prompt_tokens_details", json::object{{"cached_tokens", usage.cached_tokens}}}};
    if (!flight.outcome.timings.is_null()) answer["timings"] = flight.outcome.timings;
    flight.outcome.body = json::write(answer);
  } else if (const auto last = scan.final_usage(); last && flight.sink) {
    const std::string_view payload = *last;
    co_return co_await flight.sink->on_events({&payload, 1});
  }
  co_return Result<void>();
}

void Service::settle(const Flight& flight, const Result<void>& result) {
  const double seconds = seconds_since(flight.begin);
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
