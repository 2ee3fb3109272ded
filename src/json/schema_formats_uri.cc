#include "json/schema_formats_uri.h"

#include <algorithm>
#include <arpa/inet.h>
#include <string>

#include "base/strings.h"

namespace llm::json::rules {

namespace {

constexpr std::string_view kUnreserved = "-._~";
constexpr std::string_view kSubDelimiters = "!$&'()*+,;=";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// Characters of a component: pchar without '%' and beside `more`, percent escapes, and with `international` all that is
// not ASCII.
bool is_component(std::string_view text, std::string_view more, bool international) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2])) return false;
      i += 2;
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      if (!international) return false;
    } else if (!is_letter(c) && !is_digit(c) && kUnreserved.find(c) == std::string_view::npos &&
               kSubDelimiters.find(c) == std::string_view::npos && more.find(c) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

bool is_authority(std::string_view text, bool international) {
  if (const auto at = text.find('@'); at != std::string_view::npos) {
    if (!is_component(text.substr(0, at), ":", international)) return false;
    text.remove_prefix(at + 1);
  }
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return false;
    const std::string_view inside = text.substr(1, end - 1);
    const bool future =
        (inside.starts_with('v') || inside.starts_with('V')) && inside.find('.') != std::string_view::npos;
    if (!(future ? is_component(inside, ":", false) : is_ipv6(inside))) return false;
    text.remove_prefix(end + 1);
    if (text.empty()) return true;
    if (text[0] != ':') return false;
  }
  const auto colon = std::min(text.find(':'), text.size());
  const std::string_view port = colon < text.size() ? text.substr(colon + 1) : std::string_view{};
  return is_component(text.substr(0, colon), "", international) && std::ranges::all_of(port, is_digit);
}

bool is_scheme(std::string_view text) {
  return !text.empty() && is_letter(text[0]) && std::ranges::all_of(text, [](char c) {
    return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
  });
}

bool is_reference(std::string_view text, bool needs_scheme, bool international) {
  if (international && !valid_utf8(text)) return false;
  if (const auto hash = text.find('#'); hash != std::string_view::npos) {
    if (!is_component(text.substr(hash + 1), ":@/?", international)) return false;
    text = text.substr(0, hash);
  }
  if (const auto mark = text.find('?'); mark != std::string_view::npos) {
    if (!is_component(text.substr(mark + 1), ":@/?", international)) return false;
    text = text.substr(0, mark);
  }
  const auto colon = text.find(':');
  if (colon < text.find('/')) {  // otherwise the colon belongs to the path
    if (!is_scheme(text.substr(0, colon))) return false;
    text.remove_prefix(colon + 1);
  } else if (needs_scheme) {
    return false;
  }
  if (text.starts_with("//")) {
    const auto slash = std::min(text.find('/', 2), text.size());
    if (!is_authority(text.substr(2, slash - 2), international)) return false;
    text.remove_prefix(slash);
  }
  return is_component(text, ":@/", international);
}

bool is_address(int family, std::string_view text) {
  constexpr std::size_t kLongest = 45;
  if (text.size() > kLongest || text.find('\0') != std::string_view::npos) return false;
  in6_addr address;
  return inet_pton(family, std::string(text).c_str(), &address) == 1;
}

}  // namespace

bool is_ipv4(std::string_view text) {
  return is_address(AF_INET, text);
}
bool is_ipv6(std::string_view text) {
  return is_address(AF_INET6, text);
}
bool is_uri(std::string_view text) {
  return is_reference(text, true, false);
}
bool is_uri_reference(std::string_view text) {
  return is_reference(text, false, false);
}
bool is_iri(std::string_view text) {
  return is_reference(text, true, true);
}
bool is_iri_reference(std::string_view text) {
  return is_reference(text, false, true);
}

}  // namespace llm::json::rules
