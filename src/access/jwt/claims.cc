#include "access/jwt/claims.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/strings.h"

namespace llm::access {
namespace {

constexpr double kYear9999 = 253'402'300'799;  // its last second
constexpr std::size_t kMaxNameBytes = 512;     // of subjects and token ids, which go into logs and tables

std::unexpected<Error> refuse(std::string message) {
  return fail(ErrorCode::kUnauthenticated, std::move(message));
}

// The detail says that this token was good once: nobody who guesses gets here, as the signature was right.
std::unexpected<Error> expired(std::string message) {
  return fail(Error{ErrorCode::kUnauthenticated, std::move(message), {}, {}, 0}.with("expired", 1));
}

// A NumericDate (RFC 7519, section 2) in milliseconds; nullopt inside: not there.
Result<std::optional<std::int64_t>> time_member(const json::object& claims, std::string_view name) {
  const auto* found = json::find(claims, name);
  if (!found) return std::nullopt;
  if (!found->is_number()) return refuse("the token's `" + std::string(name) + "` is not a number");
  const double seconds = json::number_or(claims, name, -1);
  if (!(seconds >= 0 && seconds <= kYear9999)) return refuse("the token's `" + std::string(name) + "` is out of range");
  return static_cast<std::int64_t>(std::floor(seconds * 1000));
}

Result<std::string> name_member(const json::object& claims, std::string_view name, bool needed) {
  const auto* found = json::find(claims, name);
  if (!found && !needed) return std::string();
  if (!found || !found->is_string()) return refuse("the token has no `" + std::string(name) + "` that is a string");
  const std::string_view text = found->get_string();
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7F; };
  if (text.empty() || text.size() > kMaxNameBytes || std::ranges::any_of(text, is_control)) {
    return refuse("the token's `" + std::string(name) + "` is empty, too long or has control characters");
  }
  return std::string(text);
}

Result<void> check_type(std::string_view type, const std::vector<std::string>& allowed) {
  const auto short_form = [](std::string_view name) {
    constexpr std::string_view kPrefix = "application/";
    return iequals(name.substr(0, kPrefix.size()), kPrefix) ? name.substr(kPrefix.size()) : name;
  };
  const bool fits =
      std::ranges::any_of(allowed, [&](const std::string& one) { return iequals(short_form(one), short_form(type)); });
  if (!fits) return refuse("the token is of another type (`typ`) than is accepted here");
  return {};
}

Result<void> check_audience(const json::object& claims, const std::vector<std::string>& wanted) {
  const auto* found = json::find(claims, "aud");
  if (!found) return refuse("the token has no audience (`aud`)");
  const auto is_ours = [&](const json::value& one) {
    return one.is_string() && std::ranges::find(wanted, std::string_view(one.get_string())) != wanted.end();
  };
  if (const auto* list = found->if_array()) {
    if (!std::ranges::all_of(*list, &json::value::is_string))
      return refuse("the token's `aud` is not a list of strings");
    if (std::ranges::any_of(*list, is_ours)) return {};
  } else if (is_ours(*found)) {
    return {};
  }
  return refuse("the token is for another audience (`aud`)");
}

const json::value* at_path(const json::object& claims, std::string_view path) {
  if (const auto* whole = json::find(claims, path)) return whole;
  const json::object* inside = &claims;
  for (;;) {
    const auto dot = path.find('.');
    const auto* found = json::find(*inside, path.substr(0, dot));
    if (!found || dot == std::string_view::npos) return found;
    if (!found->is_object()) return nullptr;
    inside = &found->get_object();
    path.remove_prefix(dot + 1);
  }
}

}  // namespace

Result<UnverifiedToken> take_apart(std::string_view token, std::size_t max_bytes) {
  auto jws = parse_jws(token, max_bytes);
  if (!jws) return fail(std::move(jws.error()));
  auto claims = parse_without_duplicates(jws->payload);
  if (!claims || !claims->is_object()) return refuse("the token's claims are not a JSON object with each member once");
  return UnverifiedToken{std::move(*jws), std::move(claims->get_object())};
}

Result<RegisteredClaims> check_claims(const UnverifiedToken& token, const ClaimRules& rules, std::int64_t now_ms) {
  if (auto type = check_type(token.jws.type, rules.types); !type) return fail(std::move(type.error()));
  const auto& claims = token.claims;
  const auto* issuer = json::find(claims, "iss");
  if (!issuer || !issuer->is_string() || std::string_view(issuer->get_string()) != rules.issuer) {
    return refuse("the token is of another issuer (`iss`)");
  }
  if (auto audience = check_audience(claims, rules.audience); !audience) return fail(std::move(audience.error()));

  const auto expires = time_member(claims, "exp");
  if (!expires) return fail(expires.error());
  if (!*expires) return refuse("the token has no expiry (`exp`)");
  const auto not_before = time_member(claims, "nbf");
  if (!not_before) return fail(not_before.error());
  const auto issued = time_member(claims, "iat");
  if (!issued) return fail(issued.error());
  if (**expires + rules.leeway_ms <= now_ms) return expired("the token has expired");
  if (not_before->value_or(0) - rules.leeway_ms > now_ms) return refuse("the token is not valid yet (`nbf`)");
  if (issued->value_or(0) - rules.leeway_ms > now_ms) return refuse("the token was issued in the future (`iat`)");
  if (rules.max_age_ms >= 0) {
    if (!*issued) return refuse("the token does not say when it was issued (`iat`)");
    if (**issued + rules.max_age_ms + rules.leeway_ms <= now_ms) return refuse("the token is too old (`iat`)");
  }

  auto subject = name_member(claims, "sub", true);
  if (!subject) return fail(std::move(subject.error()));
  auto jti = name_member(claims, "jti", rules.need_jti);
  if (!jti) return fail(std::move(jti.error()));
  return RegisteredClaims{std::move(*subject), std::move(*jti), **expires, issued->value_or(0)};
}

std::vector<std::string> claim_values(const json::object& claims, std::string_view path) {
  const auto* found = path.empty() ? nullptr : at_path(claims, path);
  std::vector<std::string> out;
  if (!found) return out;
  if (found->is_string()) out.emplace_back(std::string_view(found->get_string()));
  if (const auto* flag = found->if_bool()) out.emplace_back(*flag ? "true" : "false");
  if (const auto* list = found->if_array()) {
    for (const auto& one : *list) {
      if (one.is_string()) out.emplace_back(std::string_view(one.get_string()));
    }
  }
  return out;
}

}  // namespace llm::access
