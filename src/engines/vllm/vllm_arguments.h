#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace llm::engines {

// Refuses arguments of `vllm serve` that would move the engine out of the gateway's control (where it listens, for
// whom, its log, its place among several machines) or that a setting of its own stands for. Also in the spellings that
// vLLM's parser takes for the same: underscores, NAME=VALUE, NAME.KEY, short names, beginnings of names. Errors point
// at /extra_args/<n>.
Result<void> check_vllm_args(const std::vector<std::string>& args);

// The same for an environment variable, by name. Errors have no pointer.
Result<void> check_vllm_variable(std::string_view name);

}  // namespace llm::engines
