#pragma once

#include <optional>
#include <string_view>

#include "access/authenticator.h"

namespace llm::access {

// The one key or token among what a client shows, wherever it stands; nullopt if it shows none. kUnauthenticated for
// another scheme than Bearer, for an empty one, and for different ones in one request: which of them counted would
// depend on who reads it. A view into the credentials.
Result<std::optional<std::string_view>> shown_bearer(const Credentials& credentials);

}  // namespace llm::access
