#include "net/http_policy.h"

#include <algorithm>
#include <cctype>

#include "base/byte_words.h"
#include "base/strings.h"

namespace llm::net {
namespace {

PolicyViolation bad(std::string reason) {
  return {400, std::move(reason)};
}

bool holds_control_bytes(std::uint64_t word) {
  return (bytes_below(word, 0x20) | bytes_equal(word, 0x7F)) != 0;
}

std::optional<PolicyViolation> check_framing(const Headers& headers, int version) {
  const std::size_t lengths = headers.count("content-length");
  const std::size_t encodings = headers.count("transfer-encoding");
  if (lengths > 1) return bad("more than one Content-Length");
  if (lengths == 1) {
    const auto value = *headers.get("content-length");
    const bool digits = !value.empty() && std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
    if (!digits || (value.size() > 1 && value.front() == '0') || !parse_number<std::uint64_t>(value)) {
      return bad("Content-Length is not a plain decimal number");
    }
  }
  if (encodings == 0) return std::nullopt;
  if (encodings > 1) return bad("more than one Transfer-Encoding");
  if (lengths > 0) return bad("both Content-Length and Transfer-Encoding");
  if (version < 11) return bad("Transfer-Encoding in an HTTP/1.0 message");
  if (!iequals(*headers.get("transfer-encoding"), "chunked")) {
    return PolicyViolation{501, "the only Transfer-Encoding known here is chunked"};
  }
  return std::nullopt;
}

std::optional<PolicyViolation> check_target(std::string_view method, std::string_view target, std::string_view host) {
  for (const char c : target) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7F) return bad("control or non-ASCII byte in the request target");
    if (c == '#' || c == '\\') return bad("a request target holds neither '#' nor '\\'");
  }
  if (target.starts_with('/')) return std::nullopt;
  if (target == "*" && method == "OPTIONS") return std::nullopt;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!iequals(target.substr(0, scheme.size()), scheme)) continue;
    const auto rest = target.substr(scheme.size());
    const auto authority = rest.substr(0, rest.find_first_of("/?"));
    if (!iequals(authority, host)) return bad("the target's authority differs from the Host header");
    return std::nullopt;
  }
  return bad("the request target is neither a path nor an absolute URL");
}

}  // namespace

bool valid_host(std::string_view host) {
  if (host.empty() || host.size() > 255) return false;
  std::string_view name = host;
  if (host.front() == '[') {
    const auto close = host.find(']');
    if (close == std::string_view::npos) return false;
    name = host.substr(1, close - 1);
    if (!std::ranges::all_of(
            name, [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) || c == ':' || c == '.'; })) {
      return false;
    }
    const auto rest = host.substr(close + 1);
    return !name.empty() && (rest.empty() || (rest.front() == ':' && parse_number<std::uint16_t>(rest.substr(1))));
  }
  if (const auto colon = name.find(':'); colon != std::string_view::npos) {
    if (!parse_number<std::uint16_t>(name.substr(colon + 1))) return false;
    name = name.substr(0, colon);
  }
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_';
  });
}

HeadScan scan_head(std::string_view bytes, std::size_t from, std::size_t most) {
  const std::size_t end = std::min(bytes.size(), most);
  for (std::size_t i = from; i < bytes.size(); ++i) {
    // Only what follows a line's end depends on the byte before; the rest of a line is mostly plain, eight bytes at
    // once.
    if (i > 0 && bytes[i - 1] != '\r' && bytes[i - 1] != '\n') {
      while (i + 8 <= end && !holds_control_bytes(load_bytes(bytes.data() + i))) i += 8;
      if (i == bytes.size()) break;
    }
    const auto byte = static_cast<unsigned char>(bytes[i]);
    const char before = i > 0 ? bytes[i - 1] : '\0';
    if (i >= most) {
      return {0, PolicyViolation{431, "the header is larger than " + std::to_string(most) + " bytes"}};
    }
    if (before == '\r' && byte != '\n') return {0, bad("bare CR in the header")};
    if (byte > 0x20 && byte != 0x7F) continue;
    if (byte == '\n') {
      if (before != '\r') return {0, bad("bare LF in the header")};
      if (i >= 3 && bytes[i - 2] == '\n') return {i + 1, std::nullopt};
    } else if (byte == ' ' || byte == '\t') {
      if (before == '\n') return {0, bad("folded header line (obs-fold)")};
    } else if (byte != '\r') {
      return {0, bad("control byte in the header")};
    }
  }
  return {};
}

std::optional<PolicyViolation> check_request(std::string_view method, std::string_view target, int version,
                                             const Headers& headers) {
  if (version != 10 && version != 11) return PolicyViolation{505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
  if (auto violation = check_framing(headers, version)) return violation;
  const std::size_t hosts = headers.count("host");
  if (hosts > 1) return bad("more than one Host header");
  if (hosts == 0 && version == 11) return bad("missing Host header");
  const auto host = headers.get("host").value_or("");
  if (hosts == 1 && !valid_host(host)) return bad("malformed Host header");
  const auto expect = headers.get("expect");
  if (expect && (headers.count("expect") > 1 || !iequals(*expect, "100-continue"))) {
    return PolicyViolation{417, "the only expectation known here is 100-continue"};
  }
  return check_target(method, target, host);
}

std::optional<PolicyViolation> check_response(int version, const Headers& headers) {
  return check_framing(headers, version);
}

}  // namespace llm::net
