#pragma once

#include "access/principal.h"
#include "async/task.h"
#include "mcp/http/settings.h"
#include "mcp/jsonrpc.h"
#include "mcp/server.h"
#include "net/http_server.h"

namespace llm::mcp {

// Answers a request whose principal may not make it with status 403 and the challenge that tells which scopes would do
// (MCP "Scope challenge handling", RFC 6750 section 3.1); true if it did. Decided by the body alone.
Task<bool> deny(net::Exchange& exchange, const Server& server, const HttpSettings& settings, const Request& request,
                const access::Principal& principal);

}  // namespace llm::mcp
