#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tools/original/operations.h"

namespace llm::tools::original {

// The engines that vLLM runs for the gateway (`engines.vllm`); with a name only that one.
Task<Result<Answer>> vllm_engines(OriginalContext context, std::optional<std::string> name, mcp::ToolCall call);

// "engine.start", "engine.stop", "engine.metrics", "engine.plan" of one of them; without a name the only one there is.
// `operation`, `argument`: static storage.
Task<Result<Answer>> vllm_change(OriginalContext context, std::string_view operation, std::optional<std::string> name,
                                 std::string_view argument, mcp::ToolCall call);

}  // namespace llm::tools::original
