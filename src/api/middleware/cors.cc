#include "api/middleware/cors.h"

#include <algorithm>
#include <string>

namespace llm::api {
namespace {

constexpr std::string_view kExposed =
    "X-Request-Id, X-LLM-Model, X-LLM-Model-Version, X-LLM-Engine, X-LLM-Locality, X-LLM-Cache, X-LLM-Attempts, "
    "Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate, Mcp-Session-Id, "
    "x-ratelimit-limit-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-requests, "
    "x-ratelimit-remaining-tokens, x-ratelimit-reset-requests, x-ratelimit-reset-tokens";
constexpr std::string_view kUsualFields =
    "Authorization, Content-Type, X-Api-Key, Api-Key, X-Request-Id, Last-Event-ID, Mcp-Session-Id, "
    "Mcp-Protocol-Version, Mcp-Method, Mcp-Name, X-LLM-Timeout-Ms, X-Session-Id, X-LLM-Cache";
constexpr std::size_t kMostRequested = 1024;  // bytes of names; SDKs send a dozen of their own

// Names and commas alone: they are repeated in a header field.
bool is_list_of_names(std::string_view text) {
  return !text.empty() && text.size() <= kMostRequested && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.' || c == ',' || c == ' ';
  });
}

std::optional<std::string_view> listed_origin(const Call& call) {
  const auto origin = call.exchange.headers().get("origin");
  return origin && call.services.hosts.lists_origin(*origin) ? origin : std::nullopt;
}

}  // namespace

void add_cors_fields(Call& call) {
  if (!call.services.hosts.lists_origins()) return;
  auto& fields = call.exchange.response_headers();
  fields.add("Vary", "Origin");  // also where there was none: caches must not hand this answer to a page
  const auto origin = listed_origin(call);
  if (!origin) return;
  fields.add("Access-Control-Allow-Origin", *origin);
  fields.add("Access-Control-Expose-Headers", kExposed);
}

bool is_preflight(const Call& call) {
  return call.exchange.method() == "OPTIONS" && call.exchange.headers().get("access-control-request-method") &&
         listed_origin(call);
}

Task<Result<void>> answer_preflight(Call& call, std::string_view allow) {
  const auto& asked = call.exchange.headers();
  auto& fields = call.exchange.response_headers();
  const auto requested = asked.get("access-control-request-headers");
  fields.add("Access-Control-Allow-Methods", allow);
  fields.add("Access-Control-Allow-Headers", requested && is_list_of_names(*requested) ? *requested : kUsualFields);
  fields.add("Access-Control-Max-Age", "600");
  fields.set("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
  // Pages of a wider network that talk to this machine (the "Private Network Access" draft).
  if (asked.get("access-control-request-private-network") == "true") {
    fields.add("Access-Control-Allow-Private-Network", "true");
  }
  co_return co_await call.exchange.respond(204, "", "");
}

}  // namespace llm::api
