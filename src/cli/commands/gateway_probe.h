#pragma once

#include <filesystem>
#include <optional>
#include <sys/types.h>

namespace llm::cli {

// Does somebody accept connections on this Unix socket, and who? Blocks for a local connect at most.
struct GatewayProbe {
  bool answers = false;
  std::optional<pid_t> pid;  // of the listening process, where the system tells
};
GatewayProbe probe_gateway(const std::filesystem::path& socket);

}  // namespace llm::cli
