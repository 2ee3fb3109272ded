#pragma once

#include <string_view>

#include "base/error.h"

namespace llm::access {

// May the gateway listen on this host? Without authentication only loopback is allowed: anything else is a start-up
// error, not a warning, since an open port is found within hours. kInvalidArgument at /server/host.
Result<void> check_bind_address(std::string_view host);

}  // namespace llm::access
