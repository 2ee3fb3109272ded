#pragma once

#include <span>
#include <string>
#include <string_view>

#include "cli/arguments.h"
#include "cli/terminal.h"

namespace llm::cli {

// What the manual says about a command beyond its arguments.
struct CommandHelp {
  std::string_view name;
  std::string_view group;  // heading in the overview
  std::string_view summary;
  std::string_view description;  // paragraphs, parted by line feeds
  std::string_view examples;     // lines: "command  # what it does"
};
std::span<const CommandHelp> command_help();
const CommandHelp* find_command_help(std::string_view name);

// The manual page of the program (`command` empty) or of one command, which must exist. Styled for standard output,
// wrapped to its width (at most 100 columns).
std::string help_page(const CommandSpec& program, std::string_view command, const Terminal& terminal);

}  // namespace llm::cli
