#include "access/pattern.h"

#include "base/wildcard.h"

namespace llm::access {
namespace {

// Where ":8b" begins in "hf.co:443/a/llama3:8b"; the size if there is none.
std::size_t version_at(std::string_view name) {
  const auto colon = name.rfind(':');
  const auto slash = name.rfind('/');
  if (colon == std::string_view::npos || (slash != std::string_view::npos && slash > colon)) return name.size();
  return colon;
}

}  // namespace

bool pattern_matches(std::string_view pattern, std::string_view text) {
  return wildcard_matches(pattern, text);
}

bool model_matches(std::string_view pattern, std::string_view name) {
  if (pattern_matches(pattern, name)) return true;
  return version_at(pattern) == pattern.size() && pattern_matches(pattern, name.substr(0, version_at(name)));
}

bool pattern_within(std::string_view inner, std::string_view outer) {
  // As a text, the '*' of `inner` is taken only by a '*' of `outer`, which then takes whatever stands for it.
  if (pattern_matches(outer, inner)) return true;
  // "llama3:8b" is within "llama3"; "llama3:*" need not be, as its '*' may stand for "8b/other:1".
  return !inner.substr(version_at(inner)).contains('*') && model_matches(outer, inner);
}

}  // namespace llm::access
