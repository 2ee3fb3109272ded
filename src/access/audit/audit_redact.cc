#include "access/audit/audit_redact.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

#include "base/strings.h"

namespace llm::access {
namespace {

bool is_token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}
bool is_credential_char(char c) {
  return is_token_char(c) || c == '.' || c == '~' || c == '+' || c == '/' || c == '=';  // RFC 6750 b64token
}

template <class Predicate>
std::size_t run_length(std::string_view text, Predicate predicate) {
  return static_cast<std::size_t>(std::ranges::find_if_not(text, predicate) - text.begin());
}

// How many bytes at the front of `text` are a key of this form: the prefix, then at least so many token characters.
std::size_t key_length(std::string_view text, std::string_view prefix, std::size_t least) {
  if (!text.starts_with(prefix)) return 0;
  const std::size_t length = run_length(text.substr(prefix.size()), is_token_char);
  return length >= least ? prefix.size() + length : 0;
}

// Header, payload and, unless it is unsigned, signature, all Base64url; a header begins with `{"`, which is "eyJ".
std::size_t jwt_length(std::string_view text) {
  if (!text.starts_with("eyJ")) return 0;
  const std::size_t header = run_length(text, is_token_char);
  if (header < 8 || header >= text.size() || text[header] != '.') return 0;
  const std::size_t payload = run_length(text.substr(header + 1), is_token_char);
  if (payload < 4) return 0;
  return run_length(text, [](char c) { return is_token_char(c) || c == '.'; });
}

// The scheme of an Authorization header and what follows it; the scheme stays.
std::size_t credentials_length(std::string_view text, std::size_t& kept) {
  for (const std::string_view scheme : {"bearer", "basic"}) {
    if (!iequals(text.substr(0, scheme.size()), scheme)) continue;
    const std::size_t spaces =
        run_length(text.substr(scheme.size()), [](char c) { return c == ' ' || c == '\t' || c == ':'; });
    if (spaces == 0) continue;
    kept = scheme.size() + spaces;
    const std::size_t length = run_length(text.substr(kept), is_credential_char);
    if (length >= 8) return kept + length;  // "Bearer tokens" is prose, "Bearer of 12345678" is rare
  }
  return 0;
}

std::size_t secret_length(std::string_view text, std::size_t& kept) {
  kept = 0;
  switch (text.front()) {
    case 'l':
      if (const auto length = key_length(text, "llm_", 16)) return length;
      return key_length(text, "llr_", 16);
    case 's':
      return key_length(text, "sk-", 16);
    case 'e':
      return jwt_length(text);
    case 'B':
    case 'b':
      return credentials_length(text, kept);
    default:
      return 0;
  }
}

std::string storable(std::string_view text, std::size_t most) {
  std::string out;
  if (text.size() > most) text = text.substr(0, most);
  text = text.substr(0, utf8_complete_prefix(text));
  if (valid_utf8(text)) {
    out = text;
  } else {
    std::string quoted;  // the JSON writer knows how to replace what is not UTF-8
    json::append_quoted(quoted, text);
    if (const auto parsed = json::parse(quoted); parsed && parsed->is_string()) out = parsed->get_string();
  }
  std::ranges::replace(out, '\0', ' ');
  return out;
}

constexpr auto kSecretNames = std::to_array<std::string_view>(
    {"password", "passwd", "secret", "client_secret", "api_key", "apikey", "authorization", "private_key",
     "access_token", "refresh_token", "id_token", "token", "credential", "credentials", "hash", "old_hash"});

constexpr int kMostDepth = 32;  // a line must be readable by parsers with a usual limit

bool names_a_secret(std::string_view name) {
  return std::ranges::any_of(kSecretNames, [name](std::string_view one) { return iequals(name, one); });
}

json::value redact_below(const json::value& document, int depth) {
  constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();
  if (depth > kMostDepth) return json::value(kMasked);
  if (document.is_string()) return json::value(redact_text(document.get_string(), kAll));
  if (document.is_array()) {
    json::array out;
    for (const auto& one : document.get_array()) out.push_back(redact_below(one, depth + 1));
    return out;
  }
  if (document.is_object()) {
    json::object out;
    for (const auto& [name, value] : document.get_object()) {
      const bool secret = names_a_secret(name) && value.is_string() && !value.get_string().empty();
      out[redact_text(name, kAll)] = secret ? json::value(kMasked) : redact_below(value, depth + 1);
    }
    return out;
  }
  return document;
}

}  // namespace

std::string redact_text(std::string_view text, std::size_t most) {
  // Masked before it is cut, or the half of a key could stay.
  std::string clean = storable(text, std::numeric_limits<std::size_t>::max());
  std::string out;
  std::size_t copied = 0;
  for (std::size_t at = 0; at < clean.size(); ++at) {
    // A key within a longer word is looked for, too: who writes "xllm_…" into a message did not mean to show the rest.
    std::size_t kept = 0;
    const std::size_t length = secret_length(std::string_view(clean).substr(at), kept);
    if (length == 0) continue;
    out.append(clean, copied, at + kept - copied);
    out += kMasked;
    copied = at + length;
    at = copied - 1;
  }
  if (copied == 0 && clean.size() <= most) return clean;
  out.append(clean, copied, std::string::npos);
  if (out.size() > most) out.resize(utf8_complete_prefix(std::string_view(out).substr(0, most)));
  return out;
}

json::value redact(const json::value& document) {
  return redact_below(document, 0);
}

}  // namespace llm::access
