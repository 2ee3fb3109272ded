#pragma once

#include <string_view>

namespace llm::tools {

// Does `name` fit `pattern`, in which '*' stands for any characters, none too? Everything else is itself.
inline bool matches(std::string_view pattern, std::string_view name) {
  // On a mismatch only the last star needs to take one character more: time is the product of the lengths at worst.
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = std::string_view::npos;
  std::size_t after_star = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      after_star = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++after_star;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace llm::tools
