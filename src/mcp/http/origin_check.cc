#include "mcp/http/origin_check.h"

#include "base/strings.h"
#include "net/address.h"

namespace llm::mcp {
namespace {

bool names_loopback(std::string_view authority) {
  if (authority.starts_with('[')) {
    const auto end = authority.find(']');
    if (end == std::string_view::npos) return false;
    const std::string_view rest = authority.substr(end + 1);
    return (rest.empty() || rest.starts_with(':')) && net::is_loopback(authority.substr(0, end + 1));
  }
  return net::is_loopback(authority.substr(0, authority.find(':')));
}

}  // namespace

bool loopback_only(std::optional<std::string_view> host, std::optional<std::string_view> origin) {
  if (host && !names_loopback(*host)) return false;
  if (!origin) return true;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (origin->starts_with(scheme)) return names_loopback(origin->substr(scheme.size()));
  }
  return false;
}

}  // namespace llm::mcp
