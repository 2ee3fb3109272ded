#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace llm::engines {

// Why vLLM did not start or died, as its log tells it, and the way out.
struct VllmCause {
  std::string_view text;  // found in a line of the log
  ErrorCode code;
  std::string_view meaning;
  bool quote;  // the line itself says more: numbers, names
};

// The row that this line belongs to; the smaller the row, the more it says about the cause. nullopt: none.
std::optional<std::size_t> cause_of(std::string_view line);
const VllmCause& vllm_cause(std::size_t row);

// The line without what vLLM and Python put before it: "(EngineCore_0 pid=7) ERROR 08-20 12:00:00 [core.py:700] ".
std::string_view without_log_prefix(std::string_view line);

}  // namespace llm::engines
