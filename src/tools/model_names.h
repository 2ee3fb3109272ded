#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inference/model_api.h"
#include "mcp/changes.h"
#include "mcp/resource.h"
#include "tools/tool_context.h"

// Models by name: which one a call means, how a URI spells it, what a client may want to type.
namespace llm::tools {

using SharedApi = std::shared_ptr<inference::ModelApi>;  // shared by a call's frames

// What the gateway takes where a request to generate names no model. Loading and describing have to name one.
Task<Result<std::string>> model_or_default(SharedApi api, std::optional<std::string> wanted);
// The one model that is loaded; an error that lists them if there are several.
Task<Result<std::string>> model_or_loaded(SharedApi api, std::optional<std::string> wanted);

// "llm://models/…" and "llm://logs/…", the name percent-encoded (RFC 3986 section 2.1).
std::string model_uri(std::string_view name);
std::string log_uri(std::string_view name);
inline constexpr std::string_view kModelsUri = "llm://models";
inline constexpr std::string_view kEnginesUri = "llm://engines";
inline constexpr std::string_view kStatusUri = "llm://status";

// Tells subscribers that this model was loaded or unloaded; `listed`: that it came or went.
void announce_model(const mcp::Changes* changes, std::string_view name, bool listed);

// Completion: all models and aliases; models that generate text; models that have an engine.
mcp::Completer complete_models(const ToolContext& context);
mcp::Completer complete_generating_models(const ToolContext& context);
mcp::Completer complete_engines(const ToolContext& context);
// From a list that is known beforehand.
mcp::Completer complete_from(std::vector<std::string> values);

}  // namespace llm::tools
