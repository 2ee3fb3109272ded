#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llm::inference {

// Texts in a row that are mostly like the one before, as the events of a stream are, in a few bytes for each: how much
// of its beginning and end it shares with the one before, and what is between. Nothing is lost.
std::string pack_events(std::span<const std::string> events);
// The same texts again. Of something that pack_events did not make: as many as can be read.
std::vector<std::string> unpack_events(std::string_view packed);

}  // namespace llm::inference
