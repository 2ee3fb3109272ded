#include "inference/service.h"

#include <fmt/format.h>

#include "inference/checks.h"
#include "inference/default_model.h"
#include "inference/flight.h"
#include "inference/locality.h"
#include "inference/model_rights.h"

namespace llm::inference {

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

Service::Service(ServiceSettings settings, Admission& admission, router::Router& router,
                 engines::Supervisor& supervisor, observe::Log& log, observe::GatewayMetrics& metrics,
                 access::AccessControl* access, AnswerCache* cache)
    : settings_(settings),
      admission_(admission),
      router_(router),
      supervisor_(supervisor),
      log_(log),
      metrics_(metrics),
      access_(access),
      cache_(cache) {}

Service::~Service() = default;

void Service::add_loop(Loop& loop, net::HttpClient& client) {
  loops_.push_back(std::make_unique<LoopState>(loop, client));
}

Service::LoopState& Service::state_of(Loop& loop) const {
  for (const auto& state : loops_) {
    if (&state->loop == &loop) return *state;
  }
  std::abort();  // a loop the wiring forgot
}

net::HttpClient& Service::client_of(Loop& loop) const {
  return state_of(loop).client;
}

Task<Result<Outcome>> Service::run(Request request, Sink* sink, Loop& loop, CancelToken cancel) {
  Flight flight(std::move(request), sink, loop, cancel, access_);
  auto result = co_await dispatch(flight);
  if (!result && flight.expired) {
    result =
        fail(ErrorCode::kEngineTimeout,
             fmt::format("the answer was not there within the {} ms that this request had",
                         std::chrono::duration_cast<std::chrono::milliseconds>(*flight.end - flight.begin).count()));
  }
  if (!result && flight.sent && flight.partial.completion_tokens > 0) {
    result.error().with("completion_tokens", flight.partial.completion_tokens);
  }
  // What came from the cache cost the caller nothing.
  const Usage used = flight.from_cache ? Usage{} : result ? flight.outcome.usage : flight.partial;
  const std::string_view model = flight.entry ? std::string_view(flight.entry->name) : std::string_view();
  if (auto booked = co_await flight.booking.settle(model, used, result, loop); !booked && result) result = booked;
  settle(flight, result);
  if (!result) co_return fail(result.error());
  co_return std::move(flight.outcome);
}

// Where the request may go, and how long it may take.
Task<Result<void>> Service::plan_route(Flight& flight, std::string name) {
  Request& request = flight.request;
  const std::string_view user = json::string_or(request.body, "user");
  const std::string caller = fmt::format("{}\n{}\n{}", request.principal.id, request.options.session, user);
  router::RouteQuery query{.name = name,
                           .choice = default_choice(supervisor_, name, mode_of(request.operation)),
                           .caller = caller,
                           .local_only = must_stay_local(request.principal, access_)};
  auto plan = co_await router_.plan(std::move(query));
  const std::string_view found = plan ? std::string_view(plan->steps.front()->entry->name) : std::string_view();
  if (auto may = check_model_right(request.principal, access::Permission::kGenerate, name, found); !may) co_return may;
  if (!plan) co_return fail(plan.error());
  // A fallback is for who may use it, or what was asked for.
  std::erase_if(plan->steps, [&](const auto& step) {
    return step != plan->steps.front() &&
           !check_model_right(request.principal, access::Permission::kGenerate, name, step->entry->name);
  });
  flight.plan = std::move(*plan);
  flight.entry = flight.plan.steps.front()->entry;
  flight.outcome.model = flight.entry->spec->model;
  const auto timeout = request.options.timeout.count() > 0 ? request.options.timeout : flight.plan.timeout;
  if (timeout.count() > 0) {
    flight.end = flight.begin + timeout;
    flight.loop.wheel().arm(flight.deadline, timeout);
  }
  if (flight.plan.broken_stream == router::BrokenStream::kContinue) {
    flight.continuation = Continuation::of(request, flight.choices, flight.several);
  }
  co_return Result<void>();
}

// Who asks for what: everything that needs no engine.
Task<Result<void>> Service::dispatch(Flight& flight) {
  Request& request = flight.request;
  auto checked = check_request(request);
  if (!checked) co_return fail(checked.error());
  if (auto within = flight.booking.check_caps(); !within) co_return within;
  flight.choices = checked->choices;
  flight.several = checked->several;
  if (auto planned = co_await plan_route(flight, checked->model); !planned) co_return planned;
  if (auto reserved = co_await flight.booking.reserve(flight.entry->name, flight.loop, flight.stop.token());
      !reserved) {
    co_return reserved;
  }
  auto known = co_await answer_from_cache(flight);
  if (!known) co_return fail(known.error());
  if (*known) co_return Result<void>();
  auto claim = flight.booking.claim();
  claim.deadline = flight.end;
  auto ticket = co_await admission_.enter(claim, flight.stop.token());
  if (!ticket) co_return fail(ticket.error());
  send_shadows(flight);
  auto served = co_await try_steps(flight);
  const Usage& used = served ? flight.outcome.usage : flight.partial;
  ticket->settle(used.prompt_tokens + used.completion_tokens);
  if (served) keep_answer(flight);
  co_return served;
}

void Service::settle(const Flight& flight, const Result<void>& result) {
  const double seconds = flight.seconds();
  const std::string_view model = flight.entry ? std::string_view(flight.entry->name) : std::string_view("unknown");
  auto& metrics = metrics_.model(model);
  const std::string_view operation = to_string(flight.request.operation);
  metrics.operation(operation).finished(result ? std::nullopt : std::optional(result.error().code), seconds);
  const Usage& usage = flight.outcome.usage;
  if (result && !flight.from_cache) {
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
            {"attempts", flight.attempts},
            {"cached", flight.from_cache},
            {"first_token_ms", flight.first_token * 1000},
            {"ms", seconds * 1000}});
}

}  // namespace llm::inference
