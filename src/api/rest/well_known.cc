// /.well-known: where to get tokens for this gateway, and the keys that its own are signed with.
#include "api/handlers.h"
#include "api/public_url.h"
#include "api/rest/administration.h"

namespace llm::api::rest {
namespace {

using access::Permission;

// RFC 9728 section 2. Members without elements are left out, as it says.
json::object resource_metadata(Call& call, std::string_view resource) {
  json::object out{{"resource", public_origin(call) + std::string(resource)}, {"resource_name", "Local LLM MCP"}};
  json::array servers;
  for (const auto& url : call.services.authorization_servers) servers.emplace_back(url);
  if (!servers.empty()) out["authorization_servers"] = std::move(servers);
  json::array scopes;
  for (const auto& row : access::permissions()) {
    if (row.permission > Permission::kAuthenticated) scopes.emplace_back(row.name);
  }
  out["scopes_supported"] = std::move(scopes);
  out["bearer_methods_supported"] = json::array{"header"};
  return out;
}

}  // namespace

Task<Result<void>> protected_resource(Call& call) {
  co_return co_await answer(call, resource_metadata(call, ""));
}

Task<Result<void>> protected_mcp(Call& call) {
  co_return co_await answer(call, resource_metadata(call, "/mcp"));
}

Task<Result<void>> jwks(Call& call) {
  const auto access = access_of(call);
  if (!access) co_return fail(access.error());
  const auto keys = (*access)->issuer.jwks();
  call.exchange.response_headers().add("Cache-Control", "public, max-age=300");
  co_return co_await call.exchange.respond(200, "application/jwk-set+json", *keys);
}

}  // namespace llm::api::rest
