#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace llm::access {

// Which Host and Origin values a request may carry. This is what stops DNS rebinding and pages of other sites that talk
// to a local server from a browser: both are checked on every route before anything else looks at the request.
class HostPolicy {
 public:
  // Loopback names with any port are always allowed; more hosts ("gpu.lan", "gpu.lan:8080") and origins
  // ("https://chat.example") by configuration.
  HostPolicy(std::vector<std::string> allowed_hosts, std::vector<std::string> allowed_origins);

  // `host`: the Host header, absent in HTTP/1.0. `origin`: the Origin header, absent outside browsers.
  // kPermissionDenied with what was refused and which setting would allow it.
  Result<void> check(std::optional<std::string_view> host, std::optional<std::string_view> origin) const;
  // Is it in the configuration? Loopback pages may ask, but only listed ones may read the answers (CORS).
  bool lists_origin(std::string_view origin) const;
  bool lists_origins() const { return !origins_.empty(); }

 private:
  bool host_allowed(std::string_view host) const;
  bool origin_allowed(std::string_view origin) const;
  std::vector<std::string> hosts_;
  std::vector<std::string> origins_;
};

}  // namespace llm::access
