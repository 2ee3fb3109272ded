#include <optional>

#include "base/strings.h"
#include "mcp/registry.h"

namespace llm::mcp {
namespace {

using Variables = std::map<std::string, std::string, std::less<>>;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// RFC 3986 section 2.1; a '%' without two digits stays as it is.
std::string percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>((hex_digit(text[i + 1]) << 4) | hex_digit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

}  // namespace

std::optional<Variables> match_template(std::string_view uri_template, std::string_view uri) {
  Variables variables;
  while (true) {
    const auto open = uri_template.find('{');
    if (open == std::string_view::npos) {
      if (uri != uri_template) return std::nullopt;
      return variables;
    }
    const auto close = uri_template.find('}', open);
    if (close == std::string_view::npos || !uri.starts_with(uri_template.substr(0, open))) return std::nullopt;
    std::string_view name = uri_template.substr(open + 1, close - open - 1);
    const bool any = name.starts_with('+');
    if (any) name.remove_prefix(1);
    uri.remove_prefix(open);
    uri_template.remove_prefix(close + 1);
    // As much as fits before the text that follows, which is how people read such patterns.
    const std::string_view rest = uri_template.substr(0, uri_template.find('{'));
    const auto end =
        rest.empty() ? uri.size() : (uri_template.size() == rest.size() ? uri.rfind(rest) : uri.find(rest));
    if (end == std::string_view::npos || end == 0) return std::nullopt;
    const std::string_view value = uri.substr(0, end);
    if (!any && value.find('/') != std::string_view::npos) return std::nullopt;
    std::string decoded = percent_decode(value);
    if (!valid_utf8(decoded)) return std::nullopt;
    variables.emplace(name, std::move(decoded));
    uri.remove_prefix(end);
  }
}

}  // namespace llm::mcp
