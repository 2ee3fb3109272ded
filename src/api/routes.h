#pragma once

#include "api/route_table.h"

namespace llm::api {

// The table of all routes. What is not here does not exist. `more`: of protocols that this layer does not know (MCP).
RouteTable make_routes(std::vector<Route> more = {});

}  // namespace llm::api
