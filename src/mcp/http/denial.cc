#include "mcp/http/denial.h"

#include <fmt/format.h>
#include <string>

#include "access/identity.h"
#include "mcp/authorization.h"

namespace llm::mcp {
namespace {

// What the client should ask its authorization server for: what it has and what it needs, as a token with the new
// scope alone would lose the others.
std::string wanted_scopes(const access::Principal& principal, access::Permission needed) {
  access::PermissionSet scopes = principal.identity ? principal.identity->permissions() : access::PermissionSet();
  scopes.add(needed);
  return scope_text(scopes);
}

std::string target_of(const Request& request) {
  for (const std::string_view key : {"name", "uri"}) {
    const std::string_view named = json::string_or(request.params, key);
    if (!named.empty()) return fmt::format("{} {}", request.method, named.substr(0, 256));
  }
  return request.method;
}

}  // namespace

Task<bool> deny(net::Exchange& exchange, const Server& server, const HttpSettings& settings, const Request& request,
                const access::Principal& principal) {
  const auto needed = missing_permission(server, request.method, request.params, principal);
  if (!needed) co_return false;
  std::string challenge = fmt::format(
      R"(Bearer realm="llm-mcp", error="insufficient_scope", scope="{}", error_description="{} is missing")",
      wanted_scopes(principal, *needed), to_string(*needed));
  if (settings.resource_metadata) {
    challenge += fmt::format(R"(, resource_metadata="{}")", settings.resource_metadata(exchange));
  }
  exchange.response_headers().set("WWW-Authenticate", challenge);
  if (settings.on_denied) settings.on_denied(exchange, principal, *needed, target_of(request));
  std::string body;
  write_error(body, &request.id, not_permitted(*needed));
  co_await exchange.respond(403, "application/json", body);
  co_return true;
}

}  // namespace llm::mcp
