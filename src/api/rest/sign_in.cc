// /api/v1/auth: trading an API key for tokens, renewing and revoking them, who one is.
#include <fmt/format.h>

#include "access/identity.h"
#include "api/handlers.h"
#include "api/middleware/authentication.h"
#include "api/rest/administration.h"

namespace llm::api::rest {

using access::Permission;
using access::Principal;

namespace {

// The text member `name`; nullopt: absent.
Result<std::optional<std::string>> text_member(const json::object& body, std::string_view name) {
  const auto* value = json::find(body, name);
  if (!value || value->is_null()) return std::nullopt;
  if (!value->is_string() || value->get_string().empty()) {
    return fail(ErrorCode::kInvalidArgument, "expected a text", json::pointer_join("", name));
  }
  return std::string(value->get_string());
}

Result<void> only_members(const json::object& body, std::initializer_list<std::string_view> known) {
  for (const auto& member : body) {
    const std::string_view name(member.key().data(), member.key().size());
    if (std::ranges::find(known, name) == known.end()) {
      return fail(ErrorCode::kInvalidArgument, "unknown field", json::pointer_join("", name));
    }
  }
  return {};
}

struct SignIn {
  std::optional<std::string> api_key;
  std::optional<std::string> refresh_token;
  std::optional<std::string> scope;
};

Result<SignIn> read_sign_in(const json::object& body) {
  if (auto known = only_members(body, {"api_key", "refresh_token", "scope", "grant_type"}); !known) {
    return fail(std::move(known.error()));
  }
  SignIn out;
  for (const auto& [name, place] : {std::pair("api_key", &out.api_key), std::pair("refresh_token", &out.refresh_token),
                                    std::pair("scope", &out.scope)}) {
    auto text = text_member(body, name);
    if (!text) return fail(std::move(text.error()));
    *place = std::move(*text);
  }
  if (out.api_key.has_value() == out.refresh_token.has_value()) {
    return fail(ErrorCode::kInvalidArgument, "expected either \"api_key\" or \"refresh_token\"");
  }
  return out;
}

std::string client_address(const Call& call) {
  const auto ip = access::parse_peer(call.exchange.peer().address);
  return ip ? ip->text() : std::string();
}

// Shows the key as a request with it would, so that whatever holds there holds here: where it may be used from, how
// often wrong ones may be tried.
Task<Result<Principal>> show_key(Call& call, const std::string& key) {
  const net::Peer& peer = call.exchange.peer();
  const access::Credentials credentials{.authorization = {},
                                        .api_key = key,
                                        .subprotocols = {},
                                        .address = peer.address,
                                        .unix_socket = peer.unix_socket};
  co_return co_await call.services.access->authenticator.authenticate(credentials, call.exchange.loop(),
                                                                      call.exchange.cancelled());
}

Task<Result<access::TokenGrant>> trade_key(Call& call, SignIn given) {
  auto& access = *call.services.access;
  auto principal = co_await show_key(call, *given.api_key);
  if (!principal) co_return fail(std::move(principal.error()));
  // A token is no way to another token, and what lets the local user in is no key.
  if (!principal->identity || principal->identity->kind != access::Identity::Kind::kKey) {
    co_return fail(ErrorCode::kUnauthenticated, "that is not an API key");
  }
  call.principal = *principal;
  co_return co_await access.blocking.run(
      [&issuer = access.issuer, identity = principal->identity, scope = std::move(given.scope)] {
        return issuer.issue(*identity, scope ? std::optional<std::string_view>(*scope) : std::nullopt);
      });
}

Task<Result<access::TokenGrant>> renew(Call& call, SignIn given) {
  auto& access = *call.services.access;
  const std::string address = client_address(call);
  if (access.throttle) {
    if (auto allowed = access.throttle->check(address, access.now_ms()); !allowed) {
      co_return fail(std::move(allowed.error()));
    }
  }
  // A token stands for its key: only where and as long as that may be used.
  const auto lookup = [&access, address](std::string_view key_id) -> std::shared_ptr<const access::Identity> {
    Principal principal{.id = fmt::format("key:{}", key_id), .identity = {}, .address = address};
    principal.identity = access.directory.identity(principal.id, access.now_ms());
    const bool usable = principal.identity && access.authenticator.still_valid(principal);
    return usable ? principal.identity : nullptr;
  };
  auto grant = co_await access.blocking.run([&issuer = access.issuer, given = std::move(given), lookup] {
    return issuer.renew(*given.refresh_token,
                        given.scope ? std::optional<std::string_view>(*given.scope) : std::nullopt, lookup);
  });
  if (!grant && grant.error().code == ErrorCode::kUnauthenticated && access.throttle) {
    access.throttle->failed(address, access.now_ms());
  }
  co_return grant;
}

// What the caller may use and where it stands; nothing is taken.
json::value limits_json(Call& call) {
  access::LimitReport report;
  const access::Demand nothing{.requests = 0};
  const auto asked = call.services.access->limiter.try_reserve(call.principal, "", nothing, &report);
  if (!asked) return nullptr;  // would have to be fetched
  json::object out;
  for (const auto& [name, standing] :
       {std::pair("requests", &report.requests), std::pair("input_tokens", &report.input_tokens),
        std::pair("output_tokens", &report.output_tokens)}) {
    if (standing->limit < 0) continue;
    out[name] = json::object{{"limit", standing->limit},
                             {"remaining", standing->remaining},
                             {"reset_s", (standing->reset_ms + 999) / 1000},
                             {"window_s", standing->window_ms / 1000},
                             {"of", standing->name}};
  }
  return out;
}

std::string_view kind_of(const Principal& principal) {
  if (principal.local()) return "local";
  switch (principal.identity->kind) {
    case access::Identity::Kind::kKey:
      return "key";
    case access::Identity::Kind::kToken:
      return "token";
    case access::Identity::Kind::kCertificate:
      return "certificate";
  }
  return "";
}

json::array permission_names(const Principal& principal) {
  json::array names;
  for (const auto& row : access::permissions()) {
    if (row.permission > Permission::kAuthenticated && principal.may(row.permission)) names.emplace_back(row.name);
  }
  return names;
}

// The patterns of models that it may use; ["*"]: all of them.
json::array model_patterns(const Principal& principal) {
  json::array patterns;
  const auto* identity = principal.identity.get();
  if (identity && identity->models) {
    for (const auto& pattern : *identity->models) patterns.emplace_back(pattern);
  } else if (identity && identity->rules) {
    for (const auto& rule : *identity->rules) {
      if (rule.models.empty()) return {"*"};
      for (const auto& pattern : rule.models) {
        if (std::ranges::find(patterns, json::value(pattern)) == patterns.end()) patterns.emplace_back(pattern);
      }
    }
  } else {
    patterns.emplace_back("*");
  }
  return patterns;
}

}  // namespace

Task<Result<void>> issue_token(Call& call) {
  const auto access = access_of(call);
  if (!access) co_return fail(access.error());
  auto given = read_sign_in(call.body);
  if (!given) co_return fail(std::move(given.error()));
  const std::string_view action = given->api_key ? "auth.token" : "auth.renew";
  auto grant = given->api_key ? co_await trade_key(call, std::move(*given)) : co_await renew(call, std::move(*given));
  if (!grant) {
    const auto code = grant.error().code;
    const Result<void> refused = fail(std::move(grant.error()));
    // Throttled ones were not looked at.
    if (code == ErrorCode::kUnauthenticated || code == ErrorCode::kPermissionDenied) {
      (*access)->audit.record(audit_event(call, "auth.failed", refused));
    }
    co_return refused;
  }
  (*access)->audit.record(audit_event(call, action, {}));
  call.exchange.response_headers().add("Pragma", "no-cache");  // RFC 6749 section 5.1
  co_return co_await call.exchange.respond(200, "application/json", json::write(access::to_json(*grant)));
}

Task<Result<void>> revoke_token(Call& call) {
  const auto access = access_of(call);
  if (!access) co_return fail(access.error());
  if (auto known = only_members(call.body, {"token", "token_type_hint"}); !known) co_return known;
  auto token = text_member(call.body, "token");
  if (!token) co_return fail(std::move(token.error()));
  if (!*token) co_return fail(ErrorCode::kInvalidArgument, "missing required field \"token\"", "/token");
  auto done = co_await (*access)->blocking.run(
      [&issuer = (*access)->issuer, token = std::move(**token)] { return issuer.revoke(token); });
  (*access)->audit.record(audit_event(call, "auth.revoke", done));
  if (!done) co_return done;
  co_return co_await call.exchange.respond(200, "application/json", R"({"revoked":true})");
}

Task<Result<void>> who_am_i(Call& call) {
  const Principal& principal = call.principal;
  const auto* identity = principal.identity.get();
  json::object out{{"id", principal.id}, {"kind", kind_of(principal)}};
  if (identity) {
    if (!identity->key_id.empty()) out["key"] = identity->key_id;
    if (!identity->name.empty()) out["name"] = identity->name;
    if (!identity->user.empty()) out["user"] = identity->user;
    if (!identity->role.empty()) out["role"] = identity->role;
  }
  out["project"] = principal.project();
  out["permissions"] = permission_names(principal);
  out["models"] = model_patterns(principal);
  if (call.services.access) out["limits"] = limits_json(call);
  co_return co_await answer(call, std::move(out));
}

}  // namespace llm::api::rest
