// /v1/chat/completions and /v1/completions: the engine's answer passes through, event by event or whole.
#include <algorithm>

#include "api/event_stream.h"
#include "api/handlers.h"
#include "base/strings.h"

namespace llm::api::openai {
namespace {

class PassThrough final : public inference::Sink {
 public:
  explicit PassThrough(EventStream& stream) : stream_(stream) {}
  // OpenAI clients know no such event, and the answer's status is still open.
  Task<Result<void>> on_loading(std::string_view, const engines::LoadProgress&) override { co_return Result<void>(); }
  Task<Result<void>> on_events(std::span<const std::string_view> payloads) override { return stream_.send(payloads); }

 private:
  EventStream& stream_;
};

// Takes our extension keep_alive out of the body.
Result<std::optional<json::Duration>> take_keep_alive(json::object& body) {
  const auto* given = json::find(body, "keep_alive");
  if (!given) return std::nullopt;
  if (given->is_null()) {
    body.erase("keep_alive");
    return std::nullopt;
  }
  std::optional<std::int64_t> ms;
  if (given->is_number()) {
    constexpr double kMostSeconds = 1e9;  // thirty years; more would not fit
    const double seconds = given->to_number<double>();
    ms = seconds < 0 ? json::Duration::kNever : static_cast<std::int64_t>(std::min(seconds, kMostSeconds) * 1000);
  } else if (given->is_string()) {
    const auto& text = given->get_string();
    ms = parse_duration_ms({text.data(), text.size()});
  }
  if (!ms) {
    return fail(ErrorCode::kInvalidArgument, "expected a duration such as \"5m\", seconds, or -1", "/keep_alive");
  }
  body.erase("keep_alive");
  return json::Duration{*ms};
}

// Takes our extension cache out of the body: may this answer come from the cache and be kept there?
Result<std::optional<bool>> take_cache(json::object& body) {
  const auto* given = json::find(body, "cache");
  if (!given) return std::nullopt;
  if (!given->is_bool() && !given->is_null()) {
    return fail(ErrorCode::kInvalidArgument, "expected true or false", "/cache");
  }
  const std::optional<bool> wanted = given->is_null() ? std::nullopt : std::optional(given->get_bool());
  body.erase("cache");
  return wanted;
}

// The boolean member `name`; an error at its pointer if it is something else.
Result<bool> bool_member(const json::object& object, std::string_view name, std::string pointer) {
  const auto* value = json::find(object, name);
  if (!value || value->is_null()) return false;
  if (!value->is_bool()) return fail(ErrorCode::kInvalidArgument, "expected true or false", std::move(pointer));
  return value->get_bool();
}

Task<Result<void>> generate(Call& call, inference::Operation operation) {
  inference::Request request{.operation = operation,
                             .body = std::move(call.body),
                             .request_id = call.exchange.request_id,
                             .principal = call.principal,
                             .keep_alive = {}};
  auto keep_alive = take_keep_alive(request.body);
  if (!keep_alive) co_return fail(keep_alive.error());
  request.keep_alive = *keep_alive;
  const auto stream = bool_member(request.body, "stream", "/stream");
  if (!stream) co_return fail(stream.error());
  const bool generates = operation == inference::Operation::kChat || operation == inference::Operation::kCompletion;
  request.stream = *stream && generates;  // other answers have no pieces
  if (const auto* options = json::find(request.body, "stream_options"); options && options->is_object()) {
    const auto wanted = bool_member(options->get_object(), "include_usage", "/stream_options/include_usage");
    if (!wanted) co_return fail(wanted.error());
    request.usage_wanted = *wanted;
  }
  request.options = call.call_options();
  if (auto cache = take_cache(request.body); !cache) {
    co_return fail(cache.error());
  } else if (*cache) {
    request.options.cache = *cache;
  }
  EventStream events(call.exchange);
  PassThrough sink(events);
  const bool streamed = request.stream;
  auto& exchange = call.exchange;
  auto outcome = co_await call.services.backend.service.run(std::move(request), streamed ? &sink : nullptr,
                                                            exchange.loop(), exchange.cancelled());
  if (!outcome) co_return fail(outcome.error());
  if (streamed) co_return co_await events.finish();
  co_return co_await exchange.respond(200, "application/json", outcome->body);
}

}  // namespace

Task<Result<void>> chat_completions(Call& call) {
  return generate(call, inference::Operation::kChat);
}
Task<Result<void>> completions(Call& call) {
  return generate(call, inference::Operation::kCompletion);
}
Task<Result<void>> embeddings(Call& call) {
  return generate(call, inference::Operation::kEmbedding);
}
Task<Result<void>> rerank(Call& call) {
  return generate(call, inference::Operation::kRerank);
}

}  // namespace llm::api::openai
