#pragma once

#include <string_view>

#include "base/error.h"

namespace llm::tools::original {

// Engines that the original managed and this version does not yet.
enum class LaterEngine { kOllama, kLmStudio, kVllm };

// kUnsupported: says so, and how to use such an engine meanwhile.
Error later(LaterEngine engine);

}  // namespace llm::tools::original
