#pragma once

#include "access/limits/limiter.h"
#include "net/http_server.h"

namespace llm::api {

// Where the caller stands with its limits, as fields of the answer: RateLimit and RateLimit-Policy of the IETF draft,
// x-ratelimit-* as OpenAI has them. Before the answer starts; later it does nothing.
void set_limit_headers(net::Exchange& exchange, const access::LimitReport& report);

}  // namespace llm::api
