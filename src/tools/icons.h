#pragma once

#include <cstdint>
#include <vector>

#include "mcp/icon.h"

namespace llm::tools {

// What a tool, resource or prompt is about.
enum class Picture : std::uint8_t { kChat, kText, kVector, kModel, kDownload, kRemove, kStatus, kHelp };

// One drawing as a data: URL, so that nothing is fetched to show it; legible on light and dark ground.
std::vector<mcp::Icon> icons(Picture picture);

}  // namespace llm::tools
