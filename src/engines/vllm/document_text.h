#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "json/json.h"

// JSON values as files that people read and change: indented JSON, block-style YAML, lines for a shell.
namespace llm::engines {

std::string indented_json(const json::value& document);  // two spaces a level; ends in a line break

// YAML 1.2 in block style. Keys and strings are plain where no reader, of YAML 1.1 either, could take them for
// something else, and quoted otherwise. Ends in a line break.
std::string block_yaml(const json::object& document);

// One word for a POSIX shell.
std::string shell_word(std::string_view text);
std::string shell_line(const std::vector<std::string>& words);

}  // namespace llm::engines
