#pragma once

#include <string_view>
#include <vector>

#include "json/schema_program.h"
#include "json/schema_validator.h"

namespace llm::json::rules {

// As Schema::validate.
std::vector<SchemaError> evaluate(const Program& program, const SchemaLimits& limits, const value& document,
                                  std::string_view pointer);

}  // namespace llm::json::rules
