#pragma once

#include <optional>
#include <string>

#include "tools/model_names.h"
#include "tools/original/operations.h"

// What several of the portmanteau tools do with models.
namespace llm::tools::original {

Task<Result<Answer>> load(OriginalContext context, std::optional<std::string> model, mcp::ToolCall call);
Task<Result<Answer>> unload(OriginalContext context, std::optional<std::string> model, mcp::ToolCall call);
// Unloads what nobody uses at the moment; says what was left because it is in use.
Task<Result<Answer>> unload_idle(OriginalContext context, mcp::ToolCall call);
Task<Result<Answer>> pull(OriginalContext context, std::string source, std::optional<std::string> name,
                          mcp::ToolCall call);

// Empty: all. kInvalidArgument for what is no provider.
Task<Result<Answer>> list(OriginalContext context, std::string provider, std::string pointer, mcp::ToolCall call);

}  // namespace llm::tools::original
