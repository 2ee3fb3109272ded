#pragma once

#include <expected>
#include <span>
#include <string>
#include <string_view>

#include "mcp/jsonrpc.h"
#include "mcp/protocol.h"
#include "mcp/server.h"

namespace llm::mcp {

// One page of a list result: `{"<member>":[…],"nextCursor":…}` with what the revision adds. `entries` are JSON texts.
// A cursor (MCP "Pagination") is opaque to clients; one that we did not give is an error.
std::expected<std::string, Refusal> write_page(const Server& server, const Revision& revision,
                                               const json::object& params, std::string_view member,
                                               std::span<const std::string_view> entries);

// A list result whose entries are at hand as one array.
std::string write_list(const Server& server, const Revision& revision, std::string_view member,
                       std::string_view array_json, std::string_view next_cursor = {});

// Does the request ask for something else than the first page?
bool has_cursor(const json::object& params);

}  // namespace llm::mcp
