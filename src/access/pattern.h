#pragma once

#include <string_view>

namespace llm::access {

// '*' stands for any characters, also none. Time: at most the product of the lengths, whatever the pattern.
bool pattern_matches(std::string_view pattern, std::string_view text);

// Does `name` ("llama3:8b") fit the pattern? Without a version the pattern means all versions.
bool model_matches(std::string_view pattern, std::string_view name);

// Does every name that fits `inner` fit `outer` too? False where that cannot be told by comparing them.
bool pattern_within(std::string_view inner, std::string_view outer);

}  // namespace llm::access
