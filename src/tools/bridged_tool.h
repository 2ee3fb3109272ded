#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "json/schema_validator.h"
#include "mcp/header_parameters.h"
#include "mcp/tool.h"
#include "tools/bridge_settings.h"

// How tools and results of another MCP server become ours. No I/O.
namespace llm::tools {

// What a call needs to know of the tool behind it. Immutable.
struct RemoteTool {
  std::string name;  // as its own server calls it
  std::vector<mcp::HeaderParameter> headers;
  std::optional<json::Schema> output;
};

struct BridgedTool {
  mcp::Tool tool;  // without a handler
  std::shared_ptr<const RemoteTool> remote;
};

// From a Tool object of tools/list. kInvalidArgument: a schema that this program cannot hold calls to. Schemas of older
// drafts, which many servers still write, are read as 2020-12.
Result<BridgedTool> read_remote_tool(const json::object& tool);

// `<prefix>_<tool>` in the characters and the length that names may have; a name that is `taken` gets a number.
std::string bridged_name(std::string_view prefix, std::string_view tool,
                         const std::function<bool(std::string_view name)>& taken);

// Do the patterns of the settings let this tool through?
bool offers(const BridgeSettings& settings, std::string_view tool);

// From a CallToolResult. `label` names the bridge in messages. An error: it is no such result.
Result<mcp::ToolResult> read_remote_result(json::object result, const RemoteTool& tool, std::string_view label);

}  // namespace llm::tools
