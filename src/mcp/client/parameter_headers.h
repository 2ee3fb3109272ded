#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "json/json.h"
#include "mcp/header_parameters.h"

namespace llm::mcp {

// The Mcp-Param-... headers of a tools/call with these arguments (MCP 2026-07-28 "x-mcp-header"). What is null or
// absent has none.
std::vector<std::pair<std::string, std::string>> parameter_headers(std::span<const HeaderParameter> parameters,
                                                                   const json::object& arguments);

}  // namespace llm::mcp
