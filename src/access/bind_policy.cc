#include "access/bind_policy.h"

#include <fmt/format.h>

#include "net/address.h"

namespace llm::access {

Result<void> check_bind_address(std::string_view host, bool is_protected) {
  if (is_protected || net::is_loopback(host)) return {};
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("the gateway would listen on {}, where others can reach it, and there is no admin key yet. "
                          "Create one with `llm-mcp keys create --name admin --role admin`, or listen on 127.0.0.1",
                          host),
              "/server/host");
}

}  // namespace llm::access
