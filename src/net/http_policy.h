#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "net/headers.h"

namespace llm::net {

// Why a message is refused and with which status. The rules close the gaps between parsers on which request smuggling
// rests: whatever another hop could read differently is refused (RFC 9112 sections 5, 6 and 11.2).
struct PolicyViolation {
  int status;  // 400, 417, 431, 501, 505
  std::string reason;
};

// Where the head in `bytes` ends, or why it is refused: no obs-fold, no bare CR or LF, no control bytes (RFC 9112
// section 2.2), at most `most` bytes. A violation is found as soon as its byte is there, whatever pieces the bytes come
// in.
struct HeadScan {
  std::size_t size = 0;  // length with the empty line; 0: not complete
  std::optional<PolicyViolation> violation;
};
// Bytes before `from` were there, and judged, at an earlier call.
HeadScan scan_head(std::string_view bytes, std::size_t from, std::size_t most);

// A parsed request head: framing (Content-Length, Transfer-Encoding), Host, target form, Expect.
std::optional<PolicyViolation> check_request(std::string_view method, std::string_view target, int version,
                                             const Headers& headers);

// A parsed response head: framing only.
std::optional<PolicyViolation> check_response(int version, const Headers& headers);

// Host header grammar: host[:port], no userinfo, path, query, fragment or spaces (RFC 9110 section 7.2).
bool valid_host(std::string_view host);

}  // namespace llm::net
