#include "api/routes.h"

#include <memory>
#include <utility>

#include "api/handlers.h"

namespace llm::api {
namespace {

using access::Permission;

std::vector<Route> table() {
  return {
      {"GET", "/health", Permission::kPublic, Body::kNone, rest::health, "Readiness with every check."},
      {"GET", "/livez", Permission::kPublic, Body::kNone, rest::live, "Is the process alive?"},
      {"GET", "/readyz", Permission::kPublic, Body::kNone, rest::ready, "Does it take requests?"},
      {"GET", "/metrics", Permission::kMetricsRead, Body::kNone, rest::metrics, "Prometheus metrics."},

      {"POST", "/api/v1/generate", Permission::kGenerate, Body::kJson, rest::generate,
       "Text from a prompt or messages, whole or as events."},
      {"POST", "/api/v1/tokenize", Permission::kGenerate, Body::kJson, rest::tokenize, "How many tokens a text is."},
      {"GET", "/api/v1/ws", Permission::kGenerate, Body::kNone, websocket,
       "WebSocket: many generations on one connection."},
      {"GET", "/api/v1/models", Permission::kModelsRead, Body::kNone, rest::list_models, "Installed models."},
      {"POST", "/api/v1/models/pull", Permission::kModelsWrite, Body::kJson, rest::pull_model, "Download a model."},
      {"GET", "/api/v1/models/{name}", Permission::kModelsRead, Body::kNone, rest::get_model, "One model."},
      {"DELETE", "/api/v1/models/{name}", Permission::kAdmin, Body::kNone, rest::remove_model, "Remove a model."},
      {"POST", "/api/v1/models/{name}/load", Permission::kModelsWrite, Body::kJson, rest::load_model,
       "Start its engine."},
      {"POST", "/api/v1/models/{name}/unload", Permission::kModelsWrite, Body::kJson, rest::unload_model,
       "Stop its engine."},
      {"GET", "/api/v1/engines", Permission::kEnginesRead, Body::kNone, rest::engines, "Engines and what they do."},
      {"GET", "/api/v1/engines/{name}/logs", Permission::kEnginesRead, Body::kNone, rest::engine_logs,
       "The last lines that an engine wrote."},
      {"GET", "/api/v1/status", Permission::kEnginesRead, Body::kNone, rest::status, "The gateway in numbers."},

      {"POST", "/api/v1/auth/token", Permission::kPublic, Body::kJson, rest::issue_token,
       "Tokens for an API key or a refresh token."},
      {"POST", "/api/v1/auth/revoke", Permission::kAuthenticated, Body::kJson, rest::revoke_token, "Revoke a token."},
      {"GET", "/api/v1/auth/me", Permission::kAuthenticated, Body::kNone, rest::who_am_i,
       "Who the caller is and what it may."},
      {"GET", "/api/v1/keys", Permission::kKeysRead, Body::kNone, rest::list_keys, "API keys."},
      {"POST", "/api/v1/keys", Permission::kKeysWrite, Body::kJson, rest::create_key,
       "Create a key; its secret is in the answer."},
      {"GET", "/api/v1/keys/{name}", Permission::kKeysRead, Body::kNone, rest::show_key, "One key, by its id."},
      {"PATCH", "/api/v1/keys/{name}", Permission::kKeysWrite, Body::kJson, rest::update_key, "Change a key."},
      {"DELETE", "/api/v1/keys/{name}", Permission::kKeysWrite, Body::kNone, rest::revoke_key, "Revoke a key."},
      {"POST", "/api/v1/keys/{name}/rotate", Permission::kKeysWrite, Body::kJson, rest::rotate_key,
       "A new secret; the old one ends with the overlap."},
      {"GET", "/api/v1/projects", Permission::kKeysRead, Body::kNone, rest::list_projects, "Projects."},
      {"POST", "/api/v1/projects", Permission::kAdmin, Body::kJson, rest::create_project, "Create a project."},
      {"GET", "/api/v1/projects/{name}", Permission::kKeysRead, Body::kNone, rest::show_project, "One project."},
      {"PATCH", "/api/v1/projects/{name}", Permission::kAdmin, Body::kJson, rest::update_project, "Change a project."},
      {"DELETE", "/api/v1/projects/{name}", Permission::kAdmin, Body::kNone, rest::disable_project,
       "Disable a project and its keys."},
      {"GET", "/api/v1/users", Permission::kKeysRead, Body::kNone, rest::list_users, "Users and service accounts."},
      {"POST", "/api/v1/users", Permission::kAdmin, Body::kJson, rest::create_user,
       "Create a user or service account."},
      {"GET", "/api/v1/users/{name}", Permission::kKeysRead, Body::kNone, rest::show_user, "One user."},
      {"PATCH", "/api/v1/users/{name}", Permission::kAdmin, Body::kJson, rest::update_user, "Change a user."},
      {"DELETE", "/api/v1/users/{name}", Permission::kAdmin, Body::kNone, rest::disable_user,
       "Disable a user and its keys."},
      {"GET", "/api/v1/roles", Permission::kKeysRead, Body::kNone, rest::list_roles, "Roles, built in and custom."},
      {"POST", "/api/v1/roles", Permission::kAdmin, Body::kJson, rest::create_role, "Create a role."},
      {"GET", "/api/v1/roles/{name}", Permission::kKeysRead, Body::kNone, rest::show_role, "One role."},
      {"PATCH", "/api/v1/roles/{name}", Permission::kAdmin, Body::kJson, rest::update_role, "Change a role."},
      {"DELETE", "/api/v1/roles/{name}", Permission::kAdmin, Body::kNone, rest::remove_role,
       "Remove a role that nobody has."},
      {"GET", "/api/v1/usage", Permission::kUsageRead, Body::kNone, rest::usage,
       "Requests and tokens by day, project, key and model."},
      {"GET", "/api/v1/audit", Permission::kAuditRead, Body::kNone, rest::audit, "The audit trail."},
      {"GET", "/.well-known/oauth-protected-resource", Permission::kPublic, Body::kNone, rest::protected_resource,
       "Where to get tokens (RFC 9728)."},
      {"GET", "/.well-known/oauth-protected-resource/mcp", Permission::kPublic, Body::kNone, rest::protected_mcp,
       "The same for /mcp."},
      {"GET", "/.well-known/jwks.json", Permission::kPublic, Body::kNone, rest::jwks,
       "The keys that the gateway's tokens are signed with."},

      {"POST", "/v1/chat/completions", Permission::kGenerate, Body::kJson, openai::chat_completions, "OpenAI API."},
      {"POST", "/v1/completions", Permission::kGenerate, Body::kJson, openai::completions, "OpenAI API."},
      {"POST", "/v1/embeddings", Permission::kGenerate, Body::kJson, openai::embeddings, "OpenAI API."},
      {"POST", "/v1/rerank", Permission::kGenerate, Body::kJson, openai::rerank, "Rank documents by relevance."},
      {"GET", "/v1/models", Permission::kModelsRead, Body::kNone, openai::list_models, "OpenAI API."},
      {"GET", "/v1/models/{name}", Permission::kModelsRead, Body::kNone, openai::get_model, "OpenAI API."},
  };
}

Task<Result<void>> answer(Call& call, std::shared_ptr<const std::string> text) {
  co_return co_await call.exchange.respond(200, "application/json", *text);
}

// GET /: what there is.
Route index_of(const std::vector<Route>& routes) {
  json::array list;
  for (const auto& route : routes) {
    list.push_back(json::object{{"method", route.method},
                                {"path", route.pattern},
                                {"permission", access::to_string(route.permission)},
                                {"summary", route.summary}});
  }
  const json::object body{{"name", "llm-mcp"}, {"version", LLM_MCP_VERSION}, {"routes", std::move(list)}};
  const auto text = std::make_shared<const std::string>(json::write(body));  // shared by the calls
  return {"GET",       "/", Permission::kPublic, Body::kNone, [text](Call& call) { return answer(call, text); },
          "This list."};
}

}  // namespace

RouteTable make_routes(std::vector<Route> more) {
  auto routes = table();
  for (auto& route : rest::operation_routes()) routes.push_back(std::move(route));
  for (auto& route : more) routes.push_back(std::move(route));
  routes.insert(routes.begin(), index_of(routes));
  return RouteTable(std::move(routes));
}

}  // namespace llm::api
