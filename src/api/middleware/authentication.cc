#include "api/middleware/authentication.h"

#include <fmt/format.h>

#include "access/identity.h"
#include "api/public_url.h"
#include "base/strings.h"

namespace llm::api {
namespace {

using access::Permission;

// What a request shows, found in one pass over its head. `joined` holds what stands in several fields.
struct Shown {
  access::Credentials credentials;
  std::string joined;
  std::string_view twice;  // a field that may stand once only, and stands twice
};

void take_once(Shown& shown, std::optional<std::string_view>& place, const net::Headers::Field& field) {
  if (place && *place != field.value) shown.twice = field.name;
  place = field.value;
}

void read_field(Shown& shown, const net::Headers::Field& field) {
  auto& credentials = shown.credentials;
  const auto is = [&](std::string_view name) { return iequals(field.name, name); };
  switch (field.name.size()) {
    case 3:
      if (is("via")) credentials.forwarded = true;
      break;
    case 7:
      if (is("api-key")) take_once(shown, credentials.api_key, field);
      break;
    case 9:
      if (is("x-api-key")) take_once(shown, credentials.api_key, field);
      if (is("forwarded") || is("x-real-ip")) credentials.forwarded = true;
      break;
    case 13:
      if (is("authorization")) take_once(shown, credentials.authorization, field);
      break;
    case 15:
      if (is("x-forwarded-for")) credentials.forwarded = true;
      break;
    case 16:
      if (is("x-forwarded-host")) credentials.forwarded = true;
      break;
    case 17:
      if (is("x-forwarded-proto")) credentials.forwarded = true;
      break;
    case 22:
      if (is("sec-websocket-protocol")) {
        if (!shown.joined.empty()) shown.joined += ',';
        shown.joined.append(field.value);
      }
      break;
    default:
      break;
  }
}

void read_credentials(Shown& shown, const net::Exchange& exchange) {
  const auto& headers = exchange.headers();
  for (std::size_t i = 0; i < headers.size(); ++i) read_field(shown, headers.at(i));
  auto& credentials = shown.credentials;
  if (!shown.joined.empty() && headers.has_token("upgrade", "websocket")) credentials.subprotocols = shown.joined;
  const net::Peer& peer = exchange.peer();
  credentials.address = peer.address;
  credentials.unix_socket = peer.unix_socket;
  if (const auto* certificate = peer.certificate.get()) {
    credentials.certificate_subject = certificate->subject;
    for (const auto* names : {&certificate->dns_names, &certificate->uris, &certificate->emails}) {
      credentials.certificate_names.insert(credentials.certificate_names.end(), names->begin(), names->end());
    }
  }
}

bool showed_something(const access::Credentials& credentials) {
  return credentials.authorization || credentials.api_key || !credentials.certificate_subject.empty() ||
         (credentials.subprotocols && credentials.subprotocols->find("bearer.") != std::string_view::npos);
}

bool is_mcp(const Route& route) {
  return route.pattern == "/mcp" || route.pattern.starts_with("/mcp/");
}

// What a token for this route needs, as OAuth scopes. MCP's tools have each their own; these two make it useful.
std::string_view scope_of(const Route& route) {
  return route.permission == Permission::kAuthenticated ? "generate models:read" : to_string(route.permission);
}

// `error`: of RFC 6750 section 3.1; empty where nothing was shown.
void challenge(Call& call, const Route& route, std::string_view error) {
  std::string value = R"(Bearer realm="llm-mcp")";
  if (!error.empty()) value += fmt::format(R"(, error="{}")", error);
  if (is_mcp(route)) {
    value += fmt::format(R"(, resource_metadata="{}/.well-known/oauth-protected-resource/mcp", scope="{}")",
                         public_origin(call), scope_of(route));
  }
  call.exchange.response_headers().set("WWW-Authenticate", value);
}

Result<void> refused(Call& call, const Route& route, const access::Credentials& credentials, Error error) {
  const bool wrong = error.code == ErrorCode::kUnauthenticated || error.code == ErrorCode::kPermissionDenied;
  if (error.code == ErrorCode::kUnauthenticated) {
    challenge(call, route, showed_something(credentials) ? "invalid_token" : "");
  }
  Result<void> result = fail(std::move(error));
  // Who shows nothing did not try; who is throttled was not looked at: an audit trail is no place to be flooded.
  if (wrong && showed_something(credentials)) {
    call.services.access->audit.record(audit_event(call, "auth.failed", result));
  }
  return result;
}

Result<void> accepted(Call& call, const Route& route, access::Principal principal) {
  call.principal = std::move(principal);
  if (call.principal.may(route.permission)) return {};
  challenge(call, route, "insufficient_scope");
  Error error{ErrorCode::kPermissionDenied,
              fmt::format("this needs the permission \"{}\", which \"{}\" does not have", to_string(route.permission),
                          call.principal.id),
              {},
              {},
              0};
  const Result<void> result = fail(std::move(error).with("permission", std::string(to_string(route.permission))));
  call.services.access->audit.record(audit_event(call, "access.denied", result));
  return result;
}

Result<void> decide(Call& call, const Route& route, const access::Credentials& credentials,
                    Result<access::Principal> principal) {
  if (!principal) return refused(call, route, credentials, std::move(principal.error()));
  return accepted(call, route, std::move(*principal));
}

}  // namespace

access::Principal anonymous() {
  static const std::shared_ptr<const access::Identity> kNobody = [] {
    auto nobody = std::make_shared<access::Identity>();
    nobody->id = "anonymous";
    nobody->scopes = {};
    nobody->project = std::make_shared<const access::Project>();
    nobody->rules = std::make_shared<const std::vector<access::Rule>>();
    return nobody;
  }();
  return {.id = kNobody->id, .identity = kNobody};
}

access::AuditEvent audit_event(const Call& call, std::string_view action, const Result<void>& outcome) {
  const access::Principal& who = call.principal;
  access::AuditEvent event;
  event.request_id = call.exchange.request_id;
  event.principal = who.id;
  event.project = std::string(who.project());
  event.user = who.identity ? who.identity->user : std::string();
  const auto ip = access::parse_peer(call.exchange.peer().address);
  event.address = ip ? ip->text() : std::string();
  event.action = std::string(action);
  event.target = fmt::format("{} {}", call.exchange.method(), call.exchange.route);
  event.outcome = std::string(outcome ? "ok" : describe(outcome.error().code).name);
  if (!outcome) event.message = outcome.error().message;
  return event;
}

std::optional<Result<void>> try_authenticate(Call& call, const Route& route) {
  if (!call.services.access) return Result<void>();
  if (route.permission == Permission::kPublic) {
    call.principal = anonymous();
    return Result<void>();
  }
  Shown shown;
  read_credentials(shown, call.exchange);
  if (!shown.twice.empty()) {
    call.principal = anonymous();
    return refused(
        call, route, shown.credentials,
        {ErrorCode::kUnauthenticated, fmt::format("the field {} stands there twice", shown.twice), {}, {}, 0});
  }
  auto principal = call.services.access->authenticator.try_authenticate(shown.credentials);
  if (!principal) return std::nullopt;
  if (!*principal) call.principal = anonymous();
  return decide(call, route, shown.credentials, std::move(*principal));
}

Task<Result<void>> authenticate(Call& call, const Route& route) {
  Shown shown;
  read_credentials(shown, call.exchange);
  call.principal = anonymous();
  auto& exchange = call.exchange;
  auto principal = co_await call.services.access->authenticator.authenticate(shown.credentials, exchange.loop(),
                                                                             exchange.cancelled());
  co_return decide(call, route, shown.credentials, std::move(principal));
}

}  // namespace llm::api
