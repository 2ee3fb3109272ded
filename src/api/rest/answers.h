#pragma once

#include <functional>
#include <string>

#include "api/call.h"
#include "api/event_stream.h"

namespace llm::api::rest {

inline Task<Result<void>> answer(Call& call, Result<json::object> result) {
  if (!result) co_return fail(result.error());
  const std::string text = json::write(*result);
  co_return co_await call.exchange.respond(200, "application/json", text);
}

using ModelCall = std::function<Task<Result<json::object>>(inference::EventSink sink, CancelToken cancel)>;

// Runs a ModelApi call for a client that asked with or without "stream": true. Streamed, its events go out as they
// come, then its answer as {"done": true, …} without `dropped` (what the events have already said), then [DONE].
Task<Result<void>> answer_or_stream(Call& call, bool stream, std::string_view dropped, ModelCall work);

// "stream" of the body; an error if it is no boolean.
Result<bool> wants_stream(const json::object& body);

}  // namespace llm::api::rest
