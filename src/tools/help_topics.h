#pragma once

#include <string_view>

#include "tools/arguments.h"

namespace llm::tools {

// What llm_help says about a topic: for models and people, true for this version.
std::string_view help_text(HelpTopic topic);

}  // namespace llm::tools
