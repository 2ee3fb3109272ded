// Which engines get their turn at a request, and what follows when one fails.
#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <cmath>
#include <fmt/format.h>

#include "async/event.h"
#include "inference/checks.h"
#include "inference/flight.h"
#include "router/prompt_blocks.h"

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

bool generates(Operation operation) {
  return operation == Operation::kChat || operation == Operation::kCompletion;
}

// Failures that another engine need not repeat. What is wrong with the request itself is wrong everywhere.
bool worth_another(ErrorCode code) {
  switch (code) {
    case ErrorCode::kEngineFailed:
    case ErrorCode::kEngineTimeout:
    case ErrorCode::kUnavailable:
    case ErrorCode::kOverloaded:
    case ErrorCode::kRateLimited:
    case ErrorCode::kInsufficientMemory:
      return true;
    default:
      return false;
  }
}

// Another model may know more than this one.
bool worth_fallback(ErrorCode code) {
  return worth_another(code) || code == ErrorCode::kContextLengthExceeded || code == ErrorCode::kUnsupported;
}

Error nobody_available(const router::RouteStep& step, router::Pool::Clock::time_point now) {
  int seconds = 1;
  if (const auto next = step.pool->next_available(); next && *next > now) {
    seconds = static_cast<int>(std::chrono::ceil<std::chrono::seconds>(*next - now).count());
  }
  return {
      ErrorCode::kUnavailable,
      fmt::format("no engine of model \"{}\" takes requests now: each has failed several times in a row, is being "
                  "drained or does not answer its health check (see /api/v1/router/replicas); one is tried again in "
                  "{} s",
                  step.entry->spec->model, seconds),
      {},
      {},
      seconds};
}

std::uint64_t session_hash(std::string_view session) {
  return session.empty() ? 0 : std::max<std::uint64_t>(1, router::stable_hash(session));
}

}  // namespace

// The model's own pool, then its fallbacks, each until it answers or has nobody left.
Task<Result<void>> Service::try_steps(Flight& flight) {
  flight.retries_left = flight.plan.retries;
  router_.request_began();
  Result<void> result = fail(ErrorCode::kInternal, "a plan without steps");
  for (std::size_t i = 0; i < flight.plan.steps.size(); ++i) {
    if (i > 0) {
      router_.fell_back();
      log_.info("fallback", {{"request_id", flight.request.request_id},
                             {"from", flight.plan.steps[i - 1]->name},
                             {"to", flight.plan.steps[i]->name},
                             {"error", result.error().message}});
    }
    result = co_await try_step(flight, i);
    if (result || flight.stop.cancelled()) co_return result;
    if (!worth_fallback(result.error().code)) co_return result;
    if (flight.sent && !(flight.continuation && flight.continuation->possible())) co_return result;
  }
  co_return result;
}

Task<Result<void>> Service::try_step(Flight& flight, std::size_t number) {
  const std::shared_ptr<const router::RouteStep> step = flight.plan.steps[number];
  std::vector<std::uint64_t> blocks;
  if (step->pool->policy() == router::Policy::kPrefix && step->replicas.size() > 1) {
    blocks = router::prompt_blocks(flight.request.body, flight.request.principal.project());
  }
  const router::Hints hints{.session = session_hash(flight.request.options.session),
                            .blocks = blocks,
                            .tokens = std::max<std::int64_t>(1, flight.booking.claim().cost)};
  std::vector<const router::Replica*> tried;
  Result<void> result = fail(ErrorCode::kInternal, "");
  while (true) {
    auto pick = step->pool->pick(hints, tried);
    if (!pick) {
      if (tried.empty()) co_return fail(nobody_available(*step, router_.now()));
      co_return result;
    }
    Attempt attempt(flight, step->of(pick->replica()), std::move(*pick));
    tried.push_back(&attempt.pick.replica());
    const auto& info_kind =
        attempt.replica.spec->external ? attempt.replica.spec->external->preset : dialects::ProviderKind::kVllm;
    if (flight.sent && !flight.continuation->possible_with(info_kind, attempt.replica.spec->embedded())) continue;
    ++flight.attempts;
    const bool hedge =
        flight.plan.hedge_after.count() > 0 && !generates(flight.request.operation) && step->replicas.size() > 1;
    result = hedge ? co_await race(flight, attempt, *step) : co_await try_once(flight, attempt);
    if (result || flight.stop.cancelled() || !worth_another(result.error().code)) co_return result;
    if (flight.sent && !(flight.continuation && flight.continuation->possible())) co_return result;
    if (flight.retries_left == 0 || tried.size() >= step->replicas.size() || !router_.take_retry()) co_return result;
    --flight.retries_left;
    log_.info("retry", {{"request_id", flight.request.request_id},
                        {"failed", attempt.replica.spec->key},
                        {"error", result.error().message}});
  }
}

// One attempt from its beginning to its end, and what it says about the replica.
Task<Result<void>> Service::try_once(Flight& flight, Attempt& attempt) {
  auto result = co_await serve(flight, attempt);
  attempt.pace.clear();
  if (!result && attempt.stalled) {
    result = fail(ErrorCode::kEngineTimeout,
                  fmt::format("the engine \"{}\" sent nothing for too long", attempt.replica.spec->key));
    attempt.engine_fault = true;
  }
  if (result) {
    attempt.pick.succeeded();
    flight.entry = attempt.replica.entry;
    flight.outcome = std::move(attempt.outcome);
    co_return result;
  }
  flight.partial = attempt.partial;
  if (flight.continuation) flight.taken_over = flight.continuation->pieces();
  // A model's only engine, when it is ours, is the supervisor's business: it restarts it and says why.
  const bool judged = attempt.engine_fault && !flight.stop.cancelled() &&
                      (attempt.replica.spec->external || flight.plan.steps.front()->replicas.size() > 1);
  if (judged) attempt.pick.failed(result.error());
  co_return result;
}

namespace {

// Two attempts at once; the first good answer wins.
struct Race {
  explicit Race(Executor loop) : changed(loop) {}
  Event changed;
  std::optional<Result<void>> results[2];
  bool late = false;  // the first one takes longer than it should
};

}  // namespace

Task<Result<void>> Service::race(Flight& flight, Attempt& first, const router::RouteStep& step) {
  Race race(flight.loop.executor());
  TaskGroup runners(flight.loop.executor());
  const auto run = [](Service* self, Flight* of, Attempt* attempt, Race* in, std::size_t lane) -> Task<void> {
    in->results[lane] = co_await self->try_once(*of, *attempt);
    in->changed.notify();
  };
  runners.spawn(run(this, &flight, &first, &race, 0));
  Deadline patience([&race] {
    race.late = true;
    race.changed.notify();
  });
  flight.loop.wheel().arm(patience, flight.plan.hedge_after);
  while (!race.results[0] && !race.late) co_await race.changed.wait();
  patience.clear();
  std::unique_ptr<Attempt> second;
  if (!race.results[0] && router_.take_retry()) {
    const router::Replica* taken[] = {&first.pick.replica()};
    if (auto pick = step.pool->pick({}, taken)) {
      second = std::make_unique<Attempt>(flight, step.of(pick->replica()), std::move(*pick));
      ++flight.attempts;
      router_.hedged();
      runners.spawn(run(this, &flight, second.get(), &race, 1));
    }
  }
  const auto decided = [&] {
    if (!second) return race.results[0].has_value();
    if ((race.results[0] && *race.results[0]) || (race.results[1] && *race.results[1])) return true;
    return race.results[0].has_value() && race.results[1].has_value();
  };
  while (!decided()) co_await race.changed.wait();
  const bool second_won = second && race.results[1] && *race.results[1];
  Attempt& winner = second_won ? *second : first;
  auto outcome = std::move(flight.outcome);
  const auto entry = flight.entry;
  first.give_up.cancel();
  if (second) second->give_up.cancel();
  co_await runners.join();
  // The loser may have ended well in the same moment; there is one answer.
  flight.outcome = std::move(outcome);
  flight.entry = entry;
  if (second) tell_who_serves(flight, winner);
  co_return &winner == &first ? *race.results[0] : *race.results[1];
}

Task<Result<engines::Lease>> Service::make_ready(Flight& flight, Attempt& attempt) {
  engines::Supervisor::AcquireOptions options;
  options.keep_alive = flight.request.keep_alive;
  options.timeout = settings_.load_timeout;
  if (flight.sink) {
    options.progress = [&flight, &attempt](engines::LoadProgress progress) -> Task<Result<void>> {
      tell_who_serves(flight, attempt);  // the first event takes the head of the answer with it
      co_return co_await flight.sink->on_loading(attempt.replica.spec->model, progress);
    };
  }
  co_return co_await supervisor_.acquire(attempt.replica.spec, std::move(options), attempt.give_up.token());
}

// An engine is handed what it can take and little more: what waits here leaves at once when its client goes, and costs
// the engine nothing.
Task<Result<Admission::Ticket>> Service::wait_for_capacity(const Flight& flight, const Attempt& attempt) {
  const std::size_t capacity = attempt.lease.info().capacity;
  if (capacity == 0) co_return Admission::Ticket();
  const auto& spec = *attempt.replica.spec;
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
  auto claim = flight.booking.claim();
  claim.deadline = flight.end;
  co_return co_await queue->enter(claim, attempt.give_up.token());
}

// From the choice of an engine to the end of its answer.
Task<Result<void>> Service::serve(Flight& flight, Attempt& attempt) {
  Request& request = flight.request;
  const auto& spec = *attempt.replica.spec;
  const auto& entry = *attempt.replica.entry;
  const InFlight counted(metrics_.model(entry.name));
  attempt.outcome.model = entry.spec->model;
  attempt.outcome.version = entry.version;
  if (auto servable = router::check_servable(entry); !servable) co_return servable;
  if (auto fits = check_mode(request.operation, spec); !fits) co_return fits;
  auto lease = co_await make_ready(flight, attempt);
  if (!lease) {
    attempt.engine_fault = spec.external.has_value();
    co_return fail(lease.error());
  }
  attempt.lease = std::move(*lease);
  const engines::EngineInfo& info = attempt.lease.info();
  if (auto able = check_abilities(request, info, spec.model); !able) co_return able;

  // The engine's sum of usage over several completions is wrong unless it streams: each stream reports its own. And a
  // llama-server that does not stream looks for a closed connection only after a second without results for anybody, so
  // that under load it finishes what nobody waits for.
  const bool generation = generates(request.operation);
  attempt.assemble = generation && !request.stream && (flight.several || info.is_llama_server);
  const bool stream = generation && (request.stream || attempt.assemble);
  auto turn = co_await wait_for_capacity(flight, attempt);
  if (!turn) co_return fail(turn.error());
  flight.booking.begin();
  attempt.begin = std::chrono::steady_clock::now();
  attempt.engine_fault = true;
  auto received = co_await exchange(flight, attempt, stream);
  const Usage& used = received ? attempt.outcome.usage : attempt.partial;
  turn->settle(used.prompt_tokens + used.completion_tokens);
  if (received) co_return received;
  if (flight.stop.cancelled()) co_return fail(ErrorCode::kCancelled, "the request was cancelled");
  if (attempt.broken && !attempt.stalled) {
    co_return fail(co_await supervisor_.explain(attempt.lease, received.error()));
  }
  co_return received;
}

}  // namespace llm::inference
