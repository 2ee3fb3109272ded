#pragma once

#include <functional>
#include <string>

#include "async/cancel.h"
#include "async/task.h"
#include "base/error.h"
#include "json/json.h"
#include "models/hub.h"

namespace llm::tools {

// Asks a model hub: GET {endpoint}{path}, where `path` begins with "/api/" and may have a query. The answer's JSON.
using HubQuery = std::function<Task<Result<json::value>>(std::string path, CancelToken cancel)>;

// Over the network, on a thread of its own that begins with the first question and ends with the last copy of the
// function. The token goes to the endpoint only.
HubQuery hub_query(models::PullSettings settings);

// A text as part of a query (RFC 3986: all but unreserved characters percent-encoded).
std::string query_value(std::string_view text);

}  // namespace llm::tools
