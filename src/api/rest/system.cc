// What operators and orchestrators ask: engines, status, health, metrics.
#include "api/handlers.h"
#include "api/rest/answers.h"

namespace llm::api::rest {

Task<Result<void>> engines(Call& call) {
  auto models = call.models();
  co_return co_await answer(call, co_await models.engines());
}

Task<Result<void>> engine_logs(Call& call) {
  auto models = call.models();
  co_return co_await answer(call, co_await models.engine_logs(call.name));
}

Task<Result<void>> status(Call& call) {
  auto models = call.models();
  co_return co_await answer(call, co_await models.status());
}

// Answers from memory alone, so that it stays quick whatever the engines do.
Task<Result<void>> health(Call& call) {
  const auto report = call.services.health.readiness();
  json::object body = report.to_json(true);
  body["version"] = LLM_MCP_VERSION;
  co_return co_await call.exchange.respond(report.http_status(), "application/json", json::write(body));
}

Task<Result<void>> live(Call& call) {
  co_return co_await call.exchange.respond(200, "application/json", R"({"status":"ok"})");
}

Task<Result<void>> ready(Call& call) {
  const auto report = call.services.health.readiness();
  co_return co_await call.exchange.respond(report.http_status(), "application/json", json::write(report.to_json(true)));
}

Task<Result<void>> metrics(Call& call) {
  if (!call.services.serve_metrics) co_return fail(ErrorCode::kNotFound, "metrics are switched off (observe.metrics)");
  co_return co_await call.exchange.respond(200, observe::kMetricsContentType, call.services.metrics.render());
}

}  // namespace llm::api::rest
