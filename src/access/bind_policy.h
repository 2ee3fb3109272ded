#pragma once

#include <string_view>

#include "base/error.h"

namespace llm::access {

// May the gateway listen on this host? Anything but loopback needs somebody who can keep others out: until a usable
// admin key exists (`is_protected`, Directory::has_admin_key) it is a start-up error, not a warning, since an open port
// is found within hours. kInvalidArgument at /server/host; the message names the command that creates a key.
Result<void> check_bind_address(std::string_view host, bool is_protected);

}  // namespace llm::access
