#pragma once

#include <optional>
#include <string_view>

#include "access/principal.h"
#include "json/json.h"
#include "mcp/jsonrpc.h"
#include "mcp/server.h"

namespace llm::mcp {

// What a request needs and its caller lacks, by the tool, resource or prompt that its body names; headers repeat names
// for proxies and decide nothing. nullopt: nothing is missing, or what is wrong is something else, which the method
// itself tells. For transports that have an answer of their own for it; the methods refuse by themselves.
std::optional<access::Permission> missing_permission(const Server& server, std::string_view method,
                                                     const json::object& params, const access::Principal& caller);

// The answer of a method whose caller lacks this.
Refusal not_permitted(access::Permission needed);

}  // namespace llm::mcp
