// /api/v1/generate and /api/v1/models…: ModelApi over HTTP.
#include "api/handlers.h"
#include "api/rest/answers.h"

namespace llm::api::rest {

Task<Result<void>> generate(Call& call) {
  const auto stream = wants_stream(call.body);
  if (!stream) co_return fail(stream.error());
  auto models = call.models();
  co_return co_await answer_or_stream(call, *stream, "text", [&](inference::EventSink sink, CancelToken cancel) {
    return models.generate(std::move(call.body), std::move(sink), std::move(cancel));
  });
}

Task<Result<void>> tokenize(Call& call) {
  auto models = call.models();
  co_return co_await answer(call, co_await models.tokenize(call.body, nullptr, call.exchange.cancelled()));
}

Task<Result<void>> list_models(Call& call) {
  auto models = call.models();
  co_return co_await answer(call, co_await models.list_models());
}

Task<Result<void>> get_model(Call& call) {
  auto models = call.models();
  co_return co_await answer(call, co_await models.model_info(call.name));
}

Task<Result<void>> pull_model(Call& call) {
  const auto stream = wants_stream(call.body);
  if (!stream) co_return fail(stream.error());
  auto models = call.models();
  co_return co_await answer_or_stream(call, *stream, "", [&](inference::EventSink sink, CancelToken cancel) {
    return models.pull_model(std::move(call.body), std::move(sink), std::move(cancel));
  });
}

Task<Result<void>> remove_model(Call& call) {
  auto models = call.models();
  co_return co_await answer(call, co_await models.remove_model(call.name));
}

Task<Result<void>> load_model(Call& call) {
  const auto stream = wants_stream(call.body);
  if (!stream) co_return fail(stream.error());
  call.body["model"] = call.name;
  auto models = call.models();
  co_return co_await answer_or_stream(call, *stream, "", [&](inference::EventSink sink, CancelToken cancel) {
    return models.load_model(std::move(call.body), std::move(sink), std::move(cancel));
  });
}

Task<Result<void>> unload_model(Call& call) {
  call.body["model"] = call.name;
  auto models = call.models();
  co_return co_await answer(call, co_await models.unload_model(std::move(call.body)));
}

}  // namespace llm::api::rest
