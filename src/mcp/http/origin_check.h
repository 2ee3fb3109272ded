#pragma once

#include <optional>
#include <string_view>

namespace llm::mcp {

// The rule against DNS rebinding for a server that only programs of this machine use (MCP "Security warning" of
// Streamable HTTP): Host, and Origin where a browser sends one, must name this machine. Any port.
bool loopback_only(std::optional<std::string_view> host, std::optional<std::string_view> origin);

}  // namespace llm::mcp
