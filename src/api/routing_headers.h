#pragma once

#include "inference/service.h"
#include "net/http_server.h"

namespace llm::api {

// What a client may say about how its request is routed, beside the body:
//   X-LLM-Timeout-Ms: milliseconds until the whole answer has to be there
//   X-Session-Id: requests that belong together (policy session, splits)
//   X-LLM-Cache: no-store | use: exact answers from the cache, see docs/api.md
// kInvalidArgument names the field.
Result<inference::CallOptions> read_call_options(const net::Headers& headers);

// X-LLM-Locality: local, for a request that nothing has been done with. Every answer to one has the header, refusals
// and other errors too; it becomes "remote" when the request, or a try of it, is sent to another machine.
void set_local_header(net::Exchange& exchange);

// Who answered: X-LLM-Model, X-LLM-Model-Version, X-LLM-Engine, X-LLM-Locality, X-LLM-Cache (hit, miss),
// X-LLM-Attempts. Before the answer starts; later it does nothing.
void set_served_headers(net::Exchange& exchange, const inference::Served& served);

}  // namespace llm::api
