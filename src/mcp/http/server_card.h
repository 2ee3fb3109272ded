#pragma once

#include <string>
#include <string_view>

#include "mcp/server.h"

// What a client can read about a server before it connects (MCP extension SEP-2127 "Server cards", AI Catalog). Static
// documents: they name no tools.
namespace llm::mcp {

inline constexpr std::string_view kServerCardType = "application/mcp-server-card+json";
inline constexpr std::string_view kCatalogType = "application/ai-catalog+json";

// How the server is known outside.
struct Publisher {
  std::string domain = "localhost";  // whose it is; also, reversed, the namespace of the card's name
  std::string base_url;              // "http://127.0.0.1:8080", without a trailing slash
  std::string endpoint = "/mcp";
};

// For GET <endpoint>/server-card.
std::string server_card(const Server& server, const Publisher& publisher);
// For GET /.well-known/ai-catalog.json.
std::string ai_catalog(const Server& server, const Publisher& publisher);

}  // namespace llm::mcp
