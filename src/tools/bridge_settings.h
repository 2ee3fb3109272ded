#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "json/fields.h"

namespace llm::tools {

// One entry of `mcp.bridges`: another MCP server whose tools this one offers as its own.
struct BridgeSettings {
  bool enabled = true;
  std::string command;
  std::vector<std::string> args;
  std::map<std::string, std::string> env;
  std::vector<std::string> pass_env;
  std::string cwd;
  std::string url;
  std::map<std::string, std::string> headers;
  std::string token_env;
  std::string token_file;
  std::optional<std::string> prefix;
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  json::Duration timeout{60'000};
  std::string permission = "generate";  // a name of access/permission.h
};

using BridgeMap = std::map<std::string, BridgeSettings>;  // by name

// What no single field can check. `at`: JSON Pointer of the map. kInvalidArgument with the culprit's pointer.
Result<void> check_bridges(const BridgeMap& bridges, const std::string& at);

// MCP_BRIDGE_URLS: `[name=]url` separated by commas or semicolons; without a name it is made from host and port. Names
// that `bridges` has already are left as they are, so that the configuration wins.
Result<void> add_bridge_urls(BridgeMap& bridges, std::string_view urls);

}  // namespace llm::tools

template <>
struct llm::json::Fields<llm::tools::BridgeSettings> {
  static const Table<tools::BridgeSettings>& table();
};
