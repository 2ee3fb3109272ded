#pragma once

#include "api/route_table.h"

namespace llm::api {

// The table of all routes. What is not here does not exist.
RouteTable make_routes();

}  // namespace llm::api
