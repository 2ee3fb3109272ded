#pragma once

#include <optional>

#include "mcp/http/request_headers.h"
#include "mcp/jsonrpc.h"
#include "mcp/server.h"
#include "net/headers.h"

namespace llm::mcp {

// Is the message of the stateless era (2026-07-28)? Its `_meta` says so, or its method, or its header.
bool is_modern(const json::object& params, std::string_view method, const RequestHeaders& headers);

struct HttpRefusal {
  int status;
  Refusal refusal;
};

// The rules of MCP 2026-07-28 "Streamable HTTP" that a request is held to before it is looked at any further: it says
// its version and what its client can do, and the headers that proxies act on repeat what the body says. Requests of a
// version that nobody knows pass, as what they are told (-32022) does not depend on HTTP.
std::optional<HttpRefusal> check_modern(const Server& server, const Request& request, const RequestHeaders& headers,
                                        const net::Headers& all, const access::Principal& principal);
// Notifications need no headers, but those that are there must be true.
std::optional<HttpRefusal> check_modern(const Notification& notification, const RequestHeaders& headers);

// The HTTP status of an answer with this error (0: none).
int modern_status(int error_code);

}  // namespace llm::mcp
