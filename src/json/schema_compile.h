#pragma once

#include <memory>

#include "json/schema_documents.h"
#include "json/schema_program.h"

namespace llm::json::rules {

// The errors are those of Schema::compile.
Result<std::shared_ptr<const Program>> compile_program(const value& schema, const SchemaSettings& settings,
                                                       Trust trust);

}  // namespace llm::json::rules
