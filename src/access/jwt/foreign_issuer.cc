#include "access/jwt/foreign_issuer.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <utility>

#include "base/strings.h"

namespace llm::access {
namespace {

constexpr std::size_t kMostKeysTried = 8;  // for a token that does not name its key
constexpr int kRetryAfterS = 5;

std::unexpected<Error> refuse(std::string message) {
  return fail(ErrorCode::kUnauthenticated, std::move(message));
}

std::vector<JwsAlgorithm> algorithms_of(const IssuerSettings& settings) {
  std::vector<JwsAlgorithm> out;
  for (const auto& name : settings.algorithms) {
    if (const auto algorithm = jws_algorithm(name); algorithm && !is_symmetric(*algorithm)) out.push_back(*algorithm);
  }
  return out;
}

// The keys that may have signed this. A key without an id may be any.
std::vector<const Jwk*> candidates(const std::vector<Jwk>& keys, const JwsParts& jws) {
  std::vector<const Jwk*> out;
  for (const auto& key : keys) {
    const bool named = jws.key_id.empty() || key.id().empty() || key.id() == jws.key_id;
    if (named && key.fits(jws.algorithm) && out.size() < kMostKeysTried) out.push_back(&key);
  }
  return out;
}

// Something to call the caller by, for people.
std::string name_of(const json::object& claims) {
  for (const std::string_view claim : {"preferred_username", "email", "name"}) {
    const auto text = json::string_or(claims, claim);
    const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7F; };
    if (!text.empty() && text.size() <= 256 && std::ranges::none_of(text, is_control)) return std::string(text);
  }
  return {};
}

}  // namespace

ForeignIssuer::ForeignIssuer(std::string name, IssuerSettings settings, observe::Log& log)
    : name_(std::move(name)),
      settings_(std::move(settings)),
      algorithms_(algorithms_of(settings_)),
      keys_(name_, settings_, log) {}

Result<void> ForeignIssuer::check(const IssuerSettings& settings) {
  const auto bad = [](std::string_view pointer, std::string message) {
    return fail(ErrorCode::kInvalidArgument, std::move(message), std::string(pointer));
  };
  const auto is_blank = [](const std::string& text) { return text.empty(); };
  if (settings.audience.empty() || std::ranges::any_of(settings.audience, is_blank)) {
    return bad("/audience", "an issuer needs the audience that means this gateway: else any of its tokens would do");
  }
  if (auto url = fetch_target(settings.issuer); !url) return bad("/issuer", url.error().message);
  if (settings.issuer.contains('?')) return bad("/issuer", "an issuer has no query");
  for (const auto& [pointer, url] :
       {std::pair("/discovery_url", &settings.discovery_url), std::pair("/jwks_uri", &settings.jwks_uri)}) {
    if (url->empty()) continue;
    if (auto target = fetch_target(*url); !target) return bad(pointer, target.error().message);
  }
  if (settings.algorithms.empty()) return bad("/algorithms", "an issuer needs at least one algorithm");
  for (const auto& name : settings.algorithms) {
    const auto algorithm = jws_algorithm(name);
    if (!algorithm) return bad("/algorithms", fmt::format("{} is no signature algorithm that is known here", name));
    if (is_symmetric(*algorithm)) {
      return bad("/algorithms", fmt::format("{} needs a shared secret; only public keys are accepted", name));
    }
  }
  if (settings.types.empty()) return bad("/types", "an issuer needs at least one type; \"\" stands for none");
  if (settings.roles.empty() && settings.default_role.empty()) {
    return bad("/roles", "map claims to roles, or set default_role: else no token of this issuer may do anything");
  }
  return {};
}

ForeignIssuer::Outcome ForeignIssuer::verify(const UnverifiedToken& token, std::int64_t now_ms) const {
  // Cheap and without keys: what cannot become good is not worth a fetch.
  if (std::ranges::find(algorithms_, token.jws.algorithm) == algorithms_.end()) {
    return {FetchReason::kNone, refuse("the token's signature algorithm is not allowed here")};
  }
  const auto keys = keys_.keys();
  const auto possible = candidates(*keys, token.jws);
  if (const auto reason = keys_.due(possible.empty(), now_ms); reason != FetchReason::kNone) return {reason, {}};
  if (keys->empty()) {
    return {FetchReason::kNone, std::unexpected(Error{ErrorCode::kUnavailable,
                                                      "the keys of the token's issuer cannot be had at the moment",
                                                      {},
                                                      {},
                                                      kRetryAfterS})};
  }
  if (possible.empty())
    return {FetchReason::kNone, refuse("the token is signed with a key its issuer does not publish")};
  const bool right = std::ranges::any_of(
      possible, [&](const Jwk* key) { return verify_jws(token.jws, *key, algorithms_).has_value(); });
  if (!right) return {FetchReason::kNone, refuse("the token's signature is wrong")};
  return {FetchReason::kNone, read(token, now_ms)};
}

Result<VerifiedToken> ForeignIssuer::read(const UnverifiedToken& token, std::int64_t now_ms) const {
  const ClaimRules rules{.issuer = settings_.issuer,
                         .audience = settings_.audience,
                         .types = settings_.types,
                         .leeway_ms = settings_.leeway.ms,
                         .max_age_ms = settings_.max_age.ms,
                         .need_jti = false};
  auto registered = check_claims(token, rules, now_ms);
  if (!registered) return fail(std::move(registered.error()));
  if (auto own = check_own_claims(token.claims); !own) return fail(std::move(own.error()));
  auto roles = roles_of(token.claims);
  if (!roles) return fail(std::move(roles.error()));
  auto project = project_of(token.claims);
  if (!project) return fail(std::move(project.error()));
  VerifiedToken out;
  out.kind = VerifiedToken::Kind::kForeign;
  out.issuer = name_;
  out.subject = std::move(registered->subject);
  out.project = std::move(*project);
  out.roles = std::move(*roles);
  out.scopes = scopes_of(token.claims);
  out.name = name_of(token.claims);
  out.jti = std::move(registered->jti);
  out.issued = registered->issued;
  out.expires = registered->expires;
  out.usable_until = registered->expires + settings_.leeway.ms;
  return out;
}

Result<void> ForeignIssuer::check_own_claims(const json::object& claims) const {
  // Tokens that are about a sign-in rather than for an API, which some providers give the same header: Keycloak says so
  // in a claim, OpenID Connect's ID tokens have hashes of what they came with (Core 1.0, sections 3.1.3.6
  // and 3.3.2.11).
  const auto type = json::string_or(claims, "typ");
  for (const std::string_view other : {"ID", "Refresh", "Offline", "Logout"}) {
    if (iequals(type, other)) return refuse("the token is no access token");
  }
  for (const std::string_view member : {"at_hash", "c_hash", "events"}) {
    if (json::find(claims, member)) return refuse("the token is no access token");
  }
  for (const auto& [path, wanted] : settings_.required_claims) {
    const auto values = claim_values(claims, path);
    if (std::ranges::find(values, wanted) == values.end()) {
      return refuse(fmt::format("the token's `{}` is not what this gateway asks for", path));
    }
  }
  return {};
}

Result<std::vector<std::string>> ForeignIssuer::roles_of(const json::object& claims) const {
  std::vector<std::string> out;
  for (const auto& value : claim_values(claims, settings_.role_claim)) {
    const auto found = settings_.roles.find(value);
    if (found != settings_.roles.end() && std::ranges::find(out, found->second) == out.end()) {
      out.push_back(found->second);
    }
  }
  if (out.empty() && !settings_.default_role.empty()) out.push_back(settings_.default_role);
  if (out.empty()) return fail(ErrorCode::kPermissionDenied, "the token's claims give it no role on this gateway");
  return out;
}

Result<std::string> ForeignIssuer::project_of(const json::object& claims) const {
  for (const auto& value : claim_values(claims, settings_.project_claim)) {
    const auto found = settings_.projects.find(value);
    if (found != settings_.projects.end()) return found->second;
  }
  if (!settings_.default_project.empty()) return settings_.default_project;
  if (settings_.project_claim.empty()) return std::string("default");
  return fail(ErrorCode::kPermissionDenied, "the token's claims give it no project on this gateway");
}

// `scope` (RFC 9068), or `scp` as Entra and Okta write it. Providers put names of their own there ("openid"), so a
// token without one of ours is not narrowed, unless the settings say so.
PermissionSet ForeignIssuer::scopes_of(const json::object& claims) const {
  PermissionSet out;
  for (const std::string_view claim : {"scope", "scp"}) {
    const auto* found = json::find(claims, claim);
    if (!found) continue;
    if (found->is_string()) out = out | scopes(std::string_view(found->get_string()));
    if (const auto* list = found->if_array()) {
      for (const auto& one : *list) {
        if (one.is_string()) out = out | scopes(std::string_view(one.get_string()));
      }
    }
  }
  return out.empty() && !settings_.require_scopes ? PermissionSet::all() : out;
}

}  // namespace llm::access
