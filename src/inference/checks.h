#pragma once

#include "engines/engine.h"
#include "inference/service.h"

namespace llm::inference {

// What the door itself must know of a request; the rest is the engine's.
struct CheckedRequest {
  std::string model;         // empty: the default model
  std::int64_t choices = 1;  // `n`
  bool several = false;      // more than one completion in one answer (n > 1 or several prompts)
};

// Shape checks that no engine does, or does badly: types and ranges with JSON Pointers. The engine checks the rest.
Result<CheckedRequest> check_request(const Request& request);

// Does what the model's engine serves fit the operation? Before anything is loaded for nothing.
Result<void> check_mode(Operation operation, const engines::EngineSpec& spec);

// What the loaded engine cannot do although it would answer: tools without a template for them, images without eyes.
Result<void> check_abilities(const Request& request, const engines::EngineInfo& info, std::string_view model);

// May the log of this engine be shown? kUnsupported: extra_args make it write what it reads and generates there.
Result<void> check_log(const engines::EngineSpec& spec);

}  // namespace llm::inference
