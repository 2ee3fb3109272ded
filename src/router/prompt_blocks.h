#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "json/json.h"

namespace llm::router {

// Bytes of prompt text in one block: about the 16 tokens of a block in vLLM's prefix cache, coarser.
inline constexpr std::size_t kBlockBytes = 256;
inline constexpr std::size_t kMostBlocks = 512;

// Hashes of a request's prompt as the engine will see it: tools and every message in order (role, content, tool calls),
// or the prompt. Hash i covers everything up to the end of block i, seeded by `salt` (the tenant and model), so that
// two requests share their first n hashes exactly if their first n blocks are equal. A last piece that fills no block
// counts for none.
std::vector<std::uint64_t> prompt_blocks(const json::object& body, std::string_view salt);

}  // namespace llm::router
