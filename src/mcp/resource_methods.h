#pragma once

#include "mcp/calls.h"
#include "mcp/server.h"

namespace llm::mcp {

// `resources/list`, `resources/templates/list` and `resources/read`, which all revisions share but for spelling. Each
// answers `to` once.
void list_resources(const Server& server, Calls& calls, Origin origin, json::object& params, ReplyTo to);
void list_resource_templates(const Server& server, Calls& calls, const Origin& origin, const json::object& params,
                             const ReplyTo& to);
void read_resource(const Server& server, Calls& calls, Origin origin, const json::object& params, ReplyTo to);

}  // namespace llm::mcp
