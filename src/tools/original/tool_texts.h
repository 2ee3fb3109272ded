#pragma once

#include <string>

#include "tools/original/operations.h"

// What the server's tools say about themselves, for llm_health and llm_help. `pointer` is the argument that asked.
namespace llm::tools::original {

// Those the caller may use. With more than `names_only` the first line of each description.
Answer list_tools(const OriginalContext& context, const mcp::Caller& caller, bool names_only);
Result<Answer> tool_help(const OriginalContext& context, const mcp::Caller& caller,
                         const std::optional<std::string>& tool);
Result<Answer> tool_signature(const OriginalContext& context, const mcp::Caller& caller,
                              const std::optional<std::string>& tool);
// Tools in whose name or description every word of `query` stands.
Result<Answer> search_tools(const OriginalContext& context, const mcp::Caller& caller,
                            const std::optional<std::string>& query);

}  // namespace llm::tools::original
