#pragma once

#include <string_view>

namespace llm {

// '*' stands for any characters, also none. Time: at most the product of the lengths, whatever the pattern.
bool wildcard_matches(std::string_view pattern, std::string_view text);

}  // namespace llm
