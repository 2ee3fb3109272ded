#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "models/manifest.h"
#include "models/store.h"

namespace llm::models {

// What config.json, tokenizer_config.json and the headers of the weights say, in the terms of a GGUF header. Trusts no
// number; what is missing stays 0 or empty. kMalformed: config.json is not a JSON object, a weights file is not sound.
Result<GgufFacts> repository_facts(const ModelStore& store, const std::vector<ManifestFile>& files);

// The part that config.json alone decides.
Result<GgufFacts> facts_of_config(std::string_view config);

}  // namespace llm::models
