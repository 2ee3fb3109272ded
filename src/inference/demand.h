#pragma once

#include <cstdint>
#include <optional>

#include "inference/service.h"

namespace llm::inference {

// An upper bound of the tokens that a request brings: every token is at least one byte of text, a template adds a few
// to each message, and an image counts as kImageTokens. For requests that check_request() passed.
inline constexpr std::int64_t kImageTokens = 4096;
std::int64_t input_token_bound(const json::object& body);

// The tokens of one answer that the client asks for at most (max_tokens, max_completion_tokens); nullopt: it does not
// say.
std::optional<std::int64_t> asked_tokens(const json::object& body);
// Makes that at most `most`.
void limit_tokens(json::object& body, Operation operation, std::int64_t most);

// How many answers of that length come: choices × prompts.
std::int64_t answers(const json::object& body, Operation operation);

}  // namespace llm::inference
