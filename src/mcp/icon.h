#pragma once

#include <string>
#include <vector>

#include "json/json.h"

namespace llm::mcp {

// MCP Icon. `source` is an https: or data: URL.
struct Icon {
  std::string source;
  std::string mime_type = {};
  std::vector<std::string> sizes = {};  // "48x48", "any"
  std::string theme = {};               // "light", "dark" or empty
};

json::array to_json(const std::vector<Icon>& icons);

}  // namespace llm::mcp
