#pragma once

#include <string_view>

#include "base/error.h"
#include "net/address.h"

// What goes wrong with a container engine, in words that say what to do. Only for the files of this layer.
namespace llm::containers {

// No answer came: `seen` is what the HTTP client says.
Error unreachable(const net::Endpoint& endpoint, const Error& seen);

// An answer with an error status. `what`: "create the container"; `said`: its body, of which the message is taken.
Error refused(const net::Endpoint& endpoint, int status, std::string_view what, std::string_view said);

// A pull that failed, in the container engine's own words.
Error pull_failed(std::string_view image, std::string_view said, bool had_auth);

}  // namespace llm::containers
