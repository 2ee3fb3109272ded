#pragma once

#include <cstdint>

#include "base/error.h"

namespace llm::dialects {

// What an engine's HTTP status of 400 or more means where its body says nothing better; statuses that say nothing
// either are kEngineFailed. A refused key (401, 403) is the gateway's, not the caller's, so it has no code of its own
// here.
ErrorCode code_of_status(std::int64_t status);

}  // namespace llm::dialects
