#pragma once

#include <string>
#include <string_view>

#include "cli/arguments.h"

namespace llm::cli {

// A completion script for `shell` (bash, zsh or fish): commands, options, choices, files, and names of models, which
// the script asks `llm-mcp list --quiet` for when they are needed. kInvalidArgument for other shells.
Result<std::string> completion_script(const CommandSpec& program, std::string_view shell);

}  // namespace llm::cli
