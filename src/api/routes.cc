#include "api/routes.h"

#include <memory>
#include <utility>

#include "api/handlers.h"

namespace llm::api {
namespace {

std::vector<Route> table() {
  return {
      {"GET", "/health", Body::kNone, rest::health, "Readiness with every check."},
      {"GET", "/livez", Body::kNone, rest::live, "Is the process alive?"},
      {"GET", "/readyz", Body::kNone, rest::ready, "Does it take requests?"},
      {"GET", "/metrics", Body::kNone, rest::metrics, "Prometheus metrics."},

      {"POST", "/api/v1/generate", Body::kJson, rest::generate, "Text from a prompt or messages, whole or as events."},
      {"POST", "/api/v1/tokenize", Body::kJson, rest::tokenize, "How many tokens a text is."},
      {"GET", "/api/v1/ws", Body::kNone, websocket, "WebSocket: many generations on one connection."},
      {"GET", "/api/v1/models", Body::kNone, rest::list_models, "Installed models."},
      {"POST", "/api/v1/models/pull", Body::kJson, rest::pull_model, "Download a model."},
      {"GET", "/api/v1/models/{name}", Body::kNone, rest::get_model, "One model."},
      {"DELETE", "/api/v1/models/{name}", Body::kNone, rest::remove_model, "Remove a model."},
      {"POST", "/api/v1/models/{name}/load", Body::kJson, rest::load_model, "Start its engine."},
      {"POST", "/api/v1/models/{name}/unload", Body::kJson, rest::unload_model, "Stop its engine."},
      {"GET", "/api/v1/engines", Body::kNone, rest::engines, "Engines and what they do."},
      {"GET", "/api/v1/engines/{name}/logs", Body::kNone, rest::engine_logs, "The last lines that an engine wrote."},
      {"GET", "/api/v1/status", Body::kNone, rest::status, "The gateway in numbers."},

      {"POST", "/v1/chat/completions", Body::kJson, openai::chat_completions, "OpenAI API."},
      {"POST", "/v1/completions", Body::kJson, openai::completions, "OpenAI API."},
      {"POST", "/v1/embeddings", Body::kJson, openai::embeddings, "OpenAI API."},
      {"POST", "/v1/rerank", Body::kJson, openai::rerank, "Rank documents by relevance."},
      {"GET", "/v1/models", Body::kNone, openai::list_models, "OpenAI API."},
      {"GET", "/v1/models/{name}", Body::kNone, openai::get_model, "OpenAI API."},
  };
}

Task<Result<void>> answer(Call& call, std::shared_ptr<const std::string> text) {
  co_return co_await call.exchange.respond(200, "application/json", *text);
}

// GET /: what there is.
Route index_of(const std::vector<Route>& routes) {
  json::array list;
  for (const auto& route : routes) {
    list.push_back(json::object{{"method", route.method}, {"path", route.pattern}, {"summary", route.summary}});
  }
  const json::object body{{"name", "llm-mcp"}, {"version", LLM_MCP_VERSION}, {"routes", std::move(list)}};
  const auto text = std::make_shared<const std::string>(json::write(body));  // shared by the calls
  return {"GET", "/", Body::kNone, [text](Call& call) { return answer(call, text); }, "This list."};
}

}  // namespace

RouteTable make_routes(std::vector<Route> more) {
  auto routes = table();
  for (auto& route : more) routes.push_back(std::move(route));
  routes.insert(routes.begin(), index_of(routes));
  return RouteTable(std::move(routes));
}

}  // namespace llm::api
