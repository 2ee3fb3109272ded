#pragma once

#include <cstdint>
#include <string>

namespace llm::net {

// " by NAME (process PID)" for the process that listens on a local TCP port, "" where the system does not tell (other
// users' processes, no /proc). Slow: for error messages only.
std::string port_holder(std::uint16_t port);

}  // namespace llm::net
