#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "json/json.h"

namespace llm::mcp {

// A parameter of a tool that HTTP clients repeat in a header (MCP 2026-07-28 "x-mcp-header"), so that proxies can act
// on it.
struct HeaderParameter {
  std::string header;             // "Mcp-Param-Region"
  std::vector<std::string> path;  // of the argument, from the root of the arguments
};

// The header parameters of an input schema. kInvalidArgument with a JSON Pointer into it: one is on a property that is
// no string, integer or boolean, has a name that is no token, or a name that another one has.
Result<std::vector<HeaderParameter>> header_parameters(const json::object& input_schema);

}  // namespace llm::mcp
