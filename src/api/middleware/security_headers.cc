#include "api/middleware/security_headers.h"

namespace llm::api {
namespace {

#define LLM_FIELDS                                                          \
  "X-Content-Type-Options: nosniff\r\n"                                     \
  "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n" \
  "Referrer-Policy: no-referrer\r\n"                                        \
  "Cross-Origin-Resource-Policy: same-origin\r\n"
#define LLM_TLS "Strict-Transport-Security: max-age=31536000\r\n"
#define LLM_NO_STORE "Cache-Control: no-store\r\n"

constexpr std::string_view kPlain = LLM_FIELDS;
constexpr std::string_view kPlainNoStore = LLM_FIELDS LLM_NO_STORE;
constexpr std::string_view kTls = LLM_FIELDS LLM_TLS;
constexpr std::string_view kTlsNoStore = LLM_FIELDS LLM_TLS LLM_NO_STORE;

#undef LLM_FIELDS
#undef LLM_TLS
#undef LLM_NO_STORE

}  // namespace

std::string_view security_fields(bool tls, bool store) {
  if (tls) return store ? kTls : kTlsNoStore;
  return store ? kPlain : kPlainNoStore;
}

bool may_be_stored(const Route& route) {
  const auto& path = route.pattern;
  if (path == "/mcp" || path.starts_with("/mcp/")) return true;
  return route.permission == access::Permission::kPublic && !path.starts_with("/api/");
}

}  // namespace llm::api
