#pragma once

#include <string>

namespace llm::access {

// On whose behalf something runs. Who comes over loopback or the user's own Unix socket is the local user.
struct Principal {
  std::string id = "local";
  friend bool operator==(const Principal&, const Principal&) = default;
};

}  // namespace llm::access
