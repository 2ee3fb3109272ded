#include "access/host_policy.h"

#include <algorithm>
#include <arpa/inet.h>
#include <fmt/format.h>

#include "base/strings.h"

namespace llm::access {
namespace {

// The host part of "host[:port]" or "[v6][:port]", without brackets.
std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) {
    const auto close = host.find(']');
    return close == std::string_view::npos ? std::string_view() : host.substr(1, close - 1);
  }
  return host.substr(0, host.find(':'));
}

bool is_loopback_name(std::string_view name) {
  if (iequals(name, "localhost") || name == "::1") return true;
  in_addr address{};
  return inet_pton(AF_INET, std::string(name).c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

}  // namespace

HostPolicy::HostPolicy(std::vector<std::string> allowed_hosts, std::vector<std::string> allowed_origins)
    : hosts_(std::move(allowed_hosts)), origins_(std::move(allowed_origins)) {}

bool HostPolicy::host_allowed(std::string_view host) const {
  if (is_loopback_name(without_port(host))) return true;
  return std::ranges::any_of(hosts_, [&](const std::string& allowed) {
    return iequals(allowed, host) || iequals(allowed, without_port(host));
  });
}

bool HostPolicy::lists_origin(std::string_view origin) const {
  return std::ranges::any_of(origins_, [&](const std::string& allowed) { return iequals(allowed, origin); });
}

bool HostPolicy::origin_allowed(std::string_view origin) const {
  if (lists_origin(origin)) return true;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (origin.starts_with(scheme) && is_loopback_name(without_port(origin.substr(scheme.size())))) return true;
  }
  return false;
}

Result<void> HostPolicy::check(std::optional<std::string_view> host, std::optional<std::string_view> origin) const {
  if (host && !host_allowed(*host)) {
    return fail(ErrorCode::kPermissionDenied,
                fmt::format("requests for host \"{}\" are not served here; server.allowed_hosts can allow it", *host));
  }
  if (origin && !origin_allowed(*origin)) {
    return fail(
        ErrorCode::kPermissionDenied,
        fmt::format("requests from origin \"{}\" are not served here; server.allowed_origins can allow it", *origin));
  }
  return {};
}

}  // namespace llm::access
