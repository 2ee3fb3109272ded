#include "mcp/http/request_headers.h"

#include <charconv>
#include <cstdint>
#include <string>
#include <utility>

#include "base/strings.h"
#include "net/base64.h"

namespace llm::mcp {
namespace {

using Field = std::optional<std::string_view> RequestHeaders::*;

constexpr std::pair<std::string_view, Field> kFields[] = {
    {"Host", &RequestHeaders::host},
    {"Origin", &RequestHeaders::origin},
    {"Mcp-Name", &RequestHeaders::name},
    {"Mcp-Method", &RequestHeaders::method},
    {"Content-Type", &RequestHeaders::content_type},
    {"Last-Event-ID", &RequestHeaders::last_event_id},
    {"Mcp-Session-Id", &RequestHeaders::session},
    {"MCP-Protocol-Version", &RequestHeaders::protocol_version},
};

// RFC 9110 section 12.5.1. A quality of 0 means "not acceptable".
void read_accept(std::string_view value, RequestHeaders& out) {
  while (!value.empty()) {
    const auto comma = value.find(',');
    const std::string_view element = trim(value.substr(0, comma));
    value = comma == std::string_view::npos ? std::string_view() : value.substr(comma + 1);
    const auto semicolon = element.find(';');
    const std::string_view range = trim(element.substr(0, semicolon));
    if (semicolon != std::string_view::npos) {
      const std::string_view parameters = trim(element.substr(semicolon + 1));
      if (parameters == "q=0" || parameters == "q=0.0" || parameters == "q=0.00" || parameters == "q=0.000") continue;
    }
    const bool all = range == "*/*";
    if (all || iequals(range, "application/json") || iequals(range, "application/*")) out.accepts_json = true;
    if (all || iequals(range, "text/event-stream") || iequals(range, "text/*")) out.accepts_events = true;
  }
}

// JSON's grammar for numbers, so that "0x10", "inf" or "1e" are none.
bool is_number(std::string_view text) {
  const auto digits = [&text] {
    std::size_t count = 0;
    while (count < text.size() && text[count] >= '0' && text[count] <= '9') ++count;
    text.remove_prefix(count);
    return count > 0;
  };
  if (text.starts_with('-')) text.remove_prefix(1);
  if (!digits()) return false;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    if (!digits()) return false;
  }
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
    if (!digits()) return false;
  }
  return text.empty();
}

constexpr std::string_view kEncodedBegin = "=?base64?";
constexpr std::string_view kEncodedEnd = "?=";

bool is_encoded(std::string_view value) {
  return value.size() >= kEncodedBegin.size() + kEncodedEnd.size() && value.starts_with(kEncodedBegin) &&
         value.ends_with(kEncodedEnd);
}

std::optional<std::string> decode(std::string_view value) {
  value.remove_prefix(kEncodedBegin.size());
  value.remove_suffix(kEncodedEnd.size());
  auto bytes = base64_decode(value);
  if (bytes && !valid_utf8(*bytes)) return std::nullopt;
  return bytes;
}

template <class Same>
HeaderMatch compare(std::string_view header, Same same) {
  header = trim(header);
  if (!is_encoded(header)) return same(header) ? HeaderMatch::kEqual : HeaderMatch::kDifferent;
  const auto plain = decode(header);
  if (!plain) return HeaderMatch::kBadEncoding;
  return same(std::string_view(*plain)) ? HeaderMatch::kEqual : HeaderMatch::kDifferent;
}

bool same_double(std::string_view text, double expected) {
  if (!is_number(text)) return false;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && value == expected;
}

}  // namespace

RequestHeaders read_headers(const net::Headers& headers) {
  RequestHeaders out;
  bool accept_seen = false;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    const auto field = headers.at(i);
    if (iequals(field.name, "Accept")) {
      if (!std::exchange(accept_seen, true)) out.accepts_json = out.accepts_events = false;
      read_accept(field.value, out);
      continue;
    }
    for (const auto& [name, member] : kFields) {
      if (field.name.size() != name.size() || !iequals(field.name, name)) continue;
      if (out.*member) out.repeated = name;
      out.*member = trim(field.value);
      break;
    }
  }
  return out;
}

bool is_json(std::string_view content_type) {
  return iequals(trim(content_type.substr(0, content_type.find(';'))), "application/json");
}

HeaderMatch compare_header(std::string_view header, std::string_view expected) {
  return compare(header, [expected](std::string_view value) { return value == expected; });
}

HeaderMatch compare_header(std::string_view header, std::int64_t expected) {
  return compare(header, [expected](std::string_view value) {
    // Whole numbers are compared as such: a double has no room for all 64 bits.
    if (const auto number = parse_number<std::int64_t>(value)) return *number == expected;
    return same_double(value, static_cast<double>(expected));
  });
}

HeaderMatch compare_header(std::string_view header, double expected) {
  return compare(header, [expected](std::string_view value) { return same_double(value, expected); });
}

}  // namespace llm::mcp
