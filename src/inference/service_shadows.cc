// Copies of requests for versions that are being tried out. Nobody waits for their answers.
#include "inference/flight.h"

namespace llm::inference {
namespace {

constexpr std::size_t kMostShadows = 64;  // at work on one loop; more are left out, never queued
constexpr std::chrono::milliseconds kShadowTime{120'000};

}  // namespace

void Service::send_shadows(const Flight& flight) {
  if (flight.plan.shadows.empty()) return;
  LoopState& state = state_of(flight.loop);
  for (const auto& entry : flight.plan.shadows) {
    if (state.stopping.cancelled() || state.shadows.size() >= kMostShadows) return;
    Request copy;
    copy.operation = flight.request.operation;
    copy.body = flight.request.body;
    copy.request_id = flight.request.request_id + "-shadow";
    copy.principal = flight.request.principal;
    copy.options.cache = false;
    state.shadows.spawn(shadow(entry, std::move(copy), state));
  }
}

// Past the limits of its caller, who did not ask for it, and behind everybody who waits for a place.
Task<void> Service::shadow(std::shared_ptr<const router::CatalogueEntry> entry, Request request, LoopState& state) {
  Flight flight(std::move(request), nullptr, state.loop, state.stopping.token(), nullptr);
  flight.end = flight.begin + kShadowTime;
  state.loop.wheel().arm(flight.deadline, kShadowTime);
  // Of what is in the store that very version; an engine's own entry is known by its name.
  router::RouteQuery query{.name = entry->manifest.size == 0 ? entry->name : entry->version};
  auto plan = co_await router_.plan(std::move(query));
  if (!plan) co_return;
  flight.plan = std::move(*plan);
  flight.plan.shadows.clear();
  flight.plan.steps.resize(1);
  flight.plan.retries = 0;
  flight.entry = flight.plan.steps.front()->entry;
  auto claim = flight.booking.claim();
  claim.priority = access::Priority::kBatch;
  auto ticket = co_await admission_.enter(claim, flight.stop.token());
  Result<void> result;
  if (ticket) {
    result = co_await try_steps(flight);
  } else {
    result = fail(ticket.error());
  }
  log_.info("shadow", {{"request_id", flight.request.request_id},
                       {"model", flight.entry->name},
                       {"version", flight.entry->version},
                       {"outcome", result ? std::string_view("ok") : describe(result.error().code).name},
                       {"completion_tokens", flight.outcome.usage.completion_tokens},
                       {"ms", flight.seconds() * 1000}});
}

Task<void> Service::stop_shadows(Loop& loop) {
  LoopState& state = state_of(loop);
  state.stopping.cancel();
  co_await state.shadows.join();
}

}  // namespace llm::inference
