#pragma once

#include "net/http_server.h"

namespace llm::api {

// Gives the request its id: the client's X-Request-Id if it is short and harmless, else a new one. The answer carries
// it.
void assign_request_id(net::Exchange& exchange);

}  // namespace llm::api
