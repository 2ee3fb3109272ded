#include "api/rest/query.h"

#include <string>

#include "base/strings.h"

namespace llm::api::rest {
namespace {

constexpr std::size_t kMostParameters = 64;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<std::string> decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i] == '+' ? ' ' : text[i];
    if (c == '%') {
      const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
      if (high < 0 || low < 0) return fail(ErrorCode::kMalformed, "broken percent-encoding in the query");
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) return fail(ErrorCode::kMalformed, "control byte in the query");
    out.push_back(c);
  }
  if (!valid_utf8(out)) return fail(ErrorCode::kMalformed, "the query is not UTF-8");
  return out;
}

}  // namespace

Result<json::object> parse_query(std::string_view query) {
  json::object out;
  std::size_t count = 0;
  for (const auto part : split(query, '&')) {
    if (part.empty()) continue;
    if (++count > kMostParameters) return fail(ErrorCode::kInvalidArgument, "too many parameters in the query");
    const auto equals = part.find('=');
    auto name = decode(part.substr(0, equals));
    if (!name) return fail(std::move(name.error()));
    auto value = decode(equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1));
    if (!value) return fail(std::move(value.error()));
    auto [place, added] = out.emplace(*name, *value);
    if (added) continue;
    if (!place->value().is_array()) place->value() = json::array{place->value()};
    place->value().get_array().emplace_back(*value);
  }
  return out;
}

}  // namespace llm::api::rest
