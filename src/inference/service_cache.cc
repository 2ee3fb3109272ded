// Answers that were given before, and those worth keeping.
#include "inference/flight.h"
#include "inference/replay.h"

namespace llm::inference {

// Whether the answer came from the cache. Sets the key under which a fresh one is kept.
Task<Result<bool>> Service::answer_from_cache(Flight& flight) {
  const Request& request = flight.request;
  if (!cache_ || !flight.plan.cache.value_or(true) || !request.options.cache.value_or(true)) co_return false;
  const bool asked = request.options.cache.value_or(false) || flight.plan.cache.value_or(false);
  flight.cache_key = cache_->key(request.principal.project(), flight.entry->version, to_string(request.operation),
                                 request.body, asked);
  if (flight.cache_key.empty()) co_return false;
  const auto found = cache_->find(flight.cache_key);
  if (!found) co_return false;
  flight.from_cache = true;
  flight.booking.begin();  // one of the caller's requests, though without tokens
  if (request.options.on_served) {
    request.options.on_served(
        {.model = found->model, .version = found->version, .engine = {}, .cache = "hit", .attempt = 0});
  }
  flight.outcome.model = found->model;
  flight.outcome.version = found->version;
  flight.outcome.finish_reason = found->finish_reason;
  flight.outcome.usage = usage_of({{"usage", found->usage}});
  const Replay replay{
      .model = found->model,
      .created =
          std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count(),
      .usage = request.usage_wanted};
  if (!request.stream || !flight.sink) {
    auto body = replay_body(*found, replay);
    if (!body) co_return fail(body.error());
    flight.booking.add_answer(*body);
    flight.outcome.body = std::move(*body);
    co_return true;
  }
  const auto events = replay_events(*found, replay);
  if (!events) co_return fail(events.error());
  const std::vector<std::string_view> payloads(events->begin(), events->end());
  for (const auto payload : payloads) flight.booking.add_answer(payload);
  flight.sent = true;
  if (auto taken = co_await flight.sink->on_events(payloads); !taken) co_return fail(taken.error());
  co_return true;
}

void Service::keep_event(Flight& flight, std::string_view payload) const {
  if (flight.cache_key.empty()) return;
  flight.kept_bytes += payload.size();
  if (flight.kept_bytes > cache_->settings().max_entry_bytes.bytes) {
    flight.cache_key.clear();
    flight.kept = {};
    return;
  }
  flight.kept.payloads.emplace_back(payload);
}

void Service::keep_answer(Flight& flight) {
  // Another model's answer is not the one that was asked for, and one of two engines is nobody's.
  const bool own = flight.entry == flight.plan.steps.front()->entry && flight.taken_over == 0;
  if (flight.cache_key.empty() || !own) return;
  flight.kept.model = flight.outcome.model;
  flight.kept.version = flight.entry->version;
  flight.kept.body = flight.outcome.body;
  flight.kept.finish_reason = flight.outcome.finish_reason;
  const Usage& usage = flight.outcome.usage;
  flight.kept.usage = json::object{{"prompt_tokens", usage.prompt_tokens},
                                   {"completion_tokens", usage.completion_tokens},
                                   {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
                                   {"prompt_tokens_details", json::object{{"cached_tokens", usage.cached_tokens}}}};
  cache_->put(flight.cache_key, std::move(flight.kept));
}

}  // namespace llm::inference
