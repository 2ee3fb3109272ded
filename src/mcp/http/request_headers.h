#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "net/headers.h"

namespace llm::mcp {

// The header fields that MCP gives a meaning, found in one pass. Views into the request.
struct RequestHeaders {
  std::optional<std::string_view> protocol_version;
  std::optional<std::string_view> method;
  std::optional<std::string_view> name;
  std::optional<std::string_view> session;
  std::optional<std::string_view> last_event_id;
  std::optional<std::string_view> content_type;
  std::optional<std::string_view> host;
  std::optional<std::string_view> origin;
  bool accepts_json = true;    // without an Accept field everything is
  bool accepts_events = true;  // text/event-stream
  std::string_view repeated;   // one of these fields (but Accept) that came twice; empty: none
};
RequestHeaders read_headers(const net::Headers& headers);

// Is it application/json, whatever its parameters?
bool is_json(std::string_view content_type);

// How a header value relates to the text it must repeat (MCP 2026-07-28 "Value encoding"): values that no header can
// carry come as =?base64?…?=.
enum class HeaderMatch { kEqual, kDifferent, kBadEncoding };
HeaderMatch compare_header(std::string_view header, std::string_view expected);
// The same for numbers: 42, 42.0 and 4.2e1 are one. kDifferent for what is no number.
HeaderMatch compare_header(std::string_view header, std::int64_t expected);
HeaderMatch compare_header(std::string_view header, double expected);

}  // namespace llm::mcp
