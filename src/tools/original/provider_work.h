#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tools/original/operations.h"

// What several of the portmanteau tools do with servers beside the gateway's own engines: providers (Ollama, LM Studio)
// and vLLM, which the gateway runs.
namespace llm::tools::original {

enum class OtherEngine { kNone, kOllama, kLmStudio, kVllm };
// By the names that the original's clients use; kNone: not one of them.
OtherEngine other_engine(std::string_view text);

// What it has: models of a provider; engines that vLLM runs.
Task<Result<Answer>> list_of(OriginalContext context, OtherEngine engine, mcp::ToolCall call);

// "pull", "load", "unload", "delete" of a provider's model; "load" and "unload" of vLLM start and stop the engine of
// that name, without one the only one there is. `argument`: what the tool calls the model; errors point at it.
struct ModelChange {
  OtherEngine engine = OtherEngine::kNone;
  std::string_view what;  // static storage
  std::optional<std::string> model;
  std::string_view argument = "model";  // static storage
  bool confirmed = false;               // delete: the user has agreed
};
Task<Result<Answer>> change_model(OriginalContext context, ModelChange change, mcp::ToolCall call);

}  // namespace llm::tools::original
