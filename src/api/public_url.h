#pragma once

#include <string>

#include "api/call.h"

namespace llm::api {

// "https://gpu.lan:8443": where the client reaches this gateway, without a slash at the end. What the configuration
// says, else from the connection and the Host field, which the host policy has allowed.
std::string public_origin(const Call& call);
std::string public_origin(const Services& services, const net::Exchange& exchange);

}  // namespace llm::api
