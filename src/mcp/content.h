#pragma once

#include <string>
#include <string_view>

#include "json/json.h"

// Builders of MCP ContentBlocks, for tool results and prompts. `bytes` are raw; they are encoded here (base64).
namespace llm::mcp {

json::object text_content(std::string_view text);
json::object image_content(std::string_view bytes, std::string_view mime_type);
json::object audio_content(std::string_view bytes, std::string_view mime_type);
json::object embedded_text(std::string_view uri, std::string_view mime_type, std::string_view text);
json::object resource_link(std::string_view uri, std::string_view name, std::string_view mime_type = {},
                           std::string_view description = {});

}  // namespace llm::mcp
