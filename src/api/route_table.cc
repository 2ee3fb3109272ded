#include "api/route_table.h"

#include <algorithm>
#include <tuple>

#include "base/strings.h"

namespace llm::api {
namespace {

constexpr std::string_view kName = "{name}";

// Does `path` fit `pattern`? Sets `name` to what {name} stands for.
bool fits(std::string_view pattern, std::string_view path, std::string_view& name) {
  const auto at = pattern.find(kName);
  if (at == std::string_view::npos) {
    name = {};
    return pattern == path;
  }
  const auto head = pattern.substr(0, at);
  const auto tail = pattern.substr(at + kName.size());
  if (path.size() <= head.size() + tail.size() || !path.starts_with(head) || !path.ends_with(tail)) return false;
  name = path.substr(head.size(), path.size() - head.size() - tail.size());
  return true;
}

bool serves(const Route& route, std::string_view method) {
  return route.method == method || (method == "HEAD" && route.method == "GET");
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

RouteTable::RouteTable(std::vector<Route> routes) : routes_(std::move(routes)) {
  const auto rank = [](const Route& route) {
    const auto at = route.pattern.find(kName);
    return at == std::string_view::npos ? std::size_t{1000} : route.pattern.size() - at;
  };
  std::ranges::sort(routes_, [&](const Route& a, const Route& b) {
    return std::tuple(rank(b), a.pattern, a.method) < std::tuple(rank(a), b.pattern, b.method);
  });
}

RouteMatch RouteTable::match(std::string_view method, std::string_view path) const {
  RouteMatch match;
  std::string_view name;
  std::string_view pattern;  // of the first row that fits: its methods are the ones allowed here
  for (const Route& route : routes_) {
    if (!pattern.empty() && route.pattern != pattern) continue;
    if (!fits(route.pattern, path, name)) continue;
    pattern = route.pattern;
    if (serves(route, method)) {
      match.route = &route;
      match.name = name;
      match.allow.clear();
      return match;
    }
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += route.method;
    if (route.method == "GET") match.allow += ", HEAD";
  }
  return match;
}

Result<std::string> decode_path(std::string_view path) {
  std::string decoded;
  decoded.reserve(path.size());
  const std::size_t plain = std::min(path.find('%'), path.size());
  decoded.append(path, 0, plain);
  for (std::size_t i = plain; i < path.size(); ++i) {
    if (path[i] != '%') {
      decoded.push_back(path[i]);
      continue;
    }
    const int high = i + 2 < path.size() ? hex_value(path[i + 1]) : -1;
    const int low = i + 2 < path.size() ? hex_value(path[i + 2]) : -1;
    if (high < 0 || low < 0) return fail(ErrorCode::kMalformed, "broken percent-encoding in the path");
    const int byte = high * 16 + low;
    if (byte < 0x20 || byte == 0x7F) return fail(ErrorCode::kMalformed, "encoded control byte in the path");
    decoded.push_back(static_cast<char>(byte));
    i += 2;
  }
  if (!valid_utf8(decoded)) return fail(ErrorCode::kMalformed, "the path is not UTF-8");
  if (decoded.starts_with('/') && decoded.find("/.") == std::string::npos) return decoded;
  for (const auto segment : split(decoded, '/')) {
    if (segment == "." || segment == "..") return fail(ErrorCode::kMalformed, "dot segments in the path");
  }
  return decoded;
}

}  // namespace llm::api
