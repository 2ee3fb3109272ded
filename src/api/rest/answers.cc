#include "api/rest/answers.h"

namespace llm::api::rest {

Result<bool> wants_stream(const json::object& body) {
  const auto* stream = json::find(body, "stream");
  if (!stream || stream->is_null()) return false;
  if (!stream->is_bool()) return fail(ErrorCode::kInvalidArgument, "expected true or false", "/stream");
  return stream->get_bool();
}

Task<Result<void>> answer_or_stream(Call& call, bool stream, std::string_view dropped, ModelCall work) {
  if (!stream) {
    co_return co_await answer(call, co_await work(nullptr, call.exchange.cancelled()));
  }
  EventStream events(call.exchange);
  auto sink = [&events](json::object event) -> Task<Result<void>> { co_return co_await events.send(event); };
  auto result = co_await work(sink, call.exchange.cancelled());
  if (!result) co_return fail(result.error());
  json::object last{{"done", true}};
  for (const auto& member : *result) {
    if (dropped != std::string_view(member.key().data(), member.key().size())) last[member.key()] = member.value();
  }
  if (auto sent = co_await events.send(last); !sent) co_return sent;
  co_return co_await events.finish();
}

}  // namespace llm::api::rest
