#pragma once

#include <functional>
#include <memory>

#include "inference/model_api.h"
#include "mcp/context.h"

namespace llm::inference {
struct Backend;
}

namespace llm::tools {

// The ModelApi for one call: of the call's loop, and on behalf of its caller. Never null.
using ModelApiSource = std::function<std::shared_ptr<inference::ModelApi>(const mcp::Context& call)>;

// Always the same: for servers with one loop and one user (stdio). `api` outlives all calls.
ModelApiSource same_model_api(inference::ModelApi& api);

// One for each call, inside the process that holds the engines: works on the call's loop, as the caller's principal
// (so with its rights on models), under a request id of its own. `backend` outlives all calls.
ModelApiSource local_model_apis(inference::Backend& backend);

}  // namespace llm::tools
