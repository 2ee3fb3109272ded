#include "access/jwt/issuer_fetch.h"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <utility>

#include "base/strings.h"

namespace llm::access {
namespace {

constexpr std::int64_t kLeastAgeMs = 60'000;
constexpr std::int64_t kMostAgeMs = 24LL * 3'600'000;
constexpr std::int64_t kDefaultAgeMs = 10 * 60'000;
constexpr std::string_view kDiscoveryPath = "/.well-known/openid-configuration";

std::unexpected<Error> refuse(std::string message) {
  return fail(ErrorCode::kInvalidArgument, std::move(message));
}

// Numbers of any notation and IPv6 in brackets: names end in a label with a letter first.
bool is_address(std::string_view host) {
  if (host.empty() || host.contains(':')) return true;
  const auto last = host.substr(host.rfind('.') + 1);
  return last.empty() || std::isalpha(static_cast<unsigned char>(last.front())) == 0;
}

bool is_local_name(std::string_view host) {
  const std::string name = to_lower(host);
  return !name.contains('.') || name.ends_with(".localhost") || name.ends_with(".local") ||
         name.ends_with(".internal") || name.ends_with(".home.arpa");
}

// One answer, whole, or why not.
Task<Result<std::string>> get(net::HttpClient& client, const FetchTarget& from, const FetchLimits& limits,
                              std::string& cache_control, CancelToken cancel) {
  net::ClientRequest request;
  request.target = from.target;
  request.headers = {{"Accept", "application/json"}};
  request.head_timeout = limits.timeout;
  request.stall_timeout = limits.timeout;
  auto response = co_await client.send(from.endpoint, std::move(request), cancel);
  if (!response) co_return fail(std::move(response.error()));
  if (response->status() != 200) {
    co_return fail(ErrorCode::kUnavailable,
                   fmt::format("{} answered {}{}", from.endpoint.authority(), response->status(),
                               response->status() / 100 == 3 ? "; redirects are not followed" : ""));
  }
  if (const auto field = response->headers().get("Cache-Control")) cache_control = *field;
  co_return co_await response->read_all(limits.max_bytes);
}

Result<FetchTarget> keys_from_discovery(const IssuerSettings& settings, std::string_view text, const FetchTarget& at) {
  const auto document = parse_without_duplicates(text);
  if (!document || !document->is_object()) return fail(ErrorCode::kUnavailable, "the discovery document is not JSON");
  const auto& object = document->get_object();
  // Section 4.3: or anybody who can serve a document could speak for this issuer.
  if (json::string_or(object, "issuer") != settings.issuer) {
    return fail(ErrorCode::kUnavailable, "the discovery document names another issuer");
  }
  auto out = discovered_target(json::string_or(object, "jwks_uri"), at);
  if (!out)
    return fail(ErrorCode::kUnavailable, fmt::format("the discovery document's jwks_uri: {}", out.error().message));
  return out;
}

Task<Result<FetchedKeys>> fetch_within(const IssuerSettings& settings, const FetchLimits& limits,
                                       net::HttpClient& client, CancelToken cancel) {
  std::string cache_control;
  Result<FetchTarget> keys_at = FetchTarget();
  if (settings.jwks_uri.empty()) {
    std::string url = settings.discovery_url;
    if (url.empty()) {
      url = settings.issuer;
      if (url.ends_with('/')) url.pop_back();
      url += kDiscoveryPath;
    }
    const auto discovery_at = fetch_target(url);
    if (!discovery_at) co_return fail(discovery_at.error());
    const auto text = co_await get(client, *discovery_at, limits, cache_control, cancel);
    if (!text) co_return fail(text.error());
    keys_at = keys_from_discovery(settings, *text, *discovery_at);
  } else {
    keys_at = fetch_target(settings.jwks_uri);
  }
  if (!keys_at) co_return fail(std::move(keys_at.error()));
  cache_control.clear();
  const auto text = co_await get(client, *keys_at, limits, cache_control, cancel);
  if (!text) co_return fail(text.error());
  auto keys = parse_jwk_set(*text);
  if (!keys) co_return fail(ErrorCode::kUnavailable, std::move(keys.error().message));
  // An empty set in place of keys is rather an accident than the wish to lock everybody out.
  if (keys->empty()) co_return fail(ErrorCode::kUnavailable, "the JWK Set has no key for signatures");
  co_return FetchedKeys{std::move(*keys), max_age_of(cache_control)};
}

}  // namespace

Result<FetchTarget> fetch_target(std::string_view url) {
  const auto scheme_end = url.find("://");
  const std::string scheme = to_lower(url.substr(0, scheme_end));
  if (scheme_end == std::string_view::npos || (scheme != "https" && scheme != "http")) {
    return refuse("expected an https URL");
  }
  const auto is_plain = [](unsigned char c) { return c > 0x20 && c < 0x7F && c != '#' && c != '\\'; };
  if (!std::ranges::all_of(url, is_plain)) return refuse("a URL with a space, a fragment or an unusual character");
  const auto path = url.find_first_of("/?", scheme_end + 3);
  auto endpoint = net::parse_endpoint(scheme + std::string(url.substr(scheme_end, path - scheme_end)));
  if (!endpoint) return fail(std::move(endpoint.error()));
  if (!endpoint->tls && !net::is_loopback(endpoint->host)) {
    return refuse("plain http is for loopback only; expected an https URL");
  }
  std::string target(path == std::string_view::npos ? "/" : url.substr(path));
  if (target.front() == '?') target.insert(0, 1, '/');
  return FetchTarget{std::move(*endpoint), std::move(target)};
}

Result<FetchTarget> discovered_target(std::string_view url, const FetchTarget& found_at) {
  auto out = fetch_target(url);
  if (!out || out->endpoint == found_at.endpoint) return out;
  if (!out->endpoint.tls || is_address(out->endpoint.host) || is_local_name(out->endpoint.host)) {
    return refuse("on another host only https and a public name are followed; set jwks_uri if this is intended");
  }
  return out;
}

std::int64_t max_age_of(std::string_view cache_control) {
  for (const auto part : split(cache_control, ',')) {
    const auto directive = trim(part);
    constexpr std::string_view kMaxAge = "max-age=";
    if (!iequals(directive.substr(0, kMaxAge.size()), kMaxAge)) continue;
    const auto seconds = parse_number<std::int64_t>(directive.substr(kMaxAge.size()));
    if (seconds) return std::clamp(std::min(*seconds, kMostAgeMs) * 1000, kLeastAgeMs, kMostAgeMs);
  }
  return kDefaultAgeMs;
}

Task<Result<FetchedKeys>> fetch_keys(const IssuerSettings& settings, FetchLimits limits, Loop& loop,
                                     net::HttpClient& client, CancelToken cancel) {
  // A server that sends a byte now and then meets every other time-out.
  const CancelSource stop;
  bool late = false;
  Deadline deadline([&] {
    late = true;
    stop.cancel();
  });
  loop.wheel().arm(deadline, limits.timeout);
  const auto linked = cancel.on_cancel([&] { stop.cancel(); });
  auto out = co_await fetch_within(settings, limits, client, stop.token());
  if (out || cancel.cancelled()) co_return out;
  if (late) co_return fail(ErrorCode::kUnavailable, "the issuer took too long to answer");
  out.error().code = ErrorCode::kUnavailable;
  co_return out;
}

}  // namespace llm::access
