#pragma once

#include <string_view>
#include <vector>

#include "json/schema_validator.h"

// The metaschema of JSON Schema 2020-12 and the vocabularies it consists of, built in.
namespace llm::json::rules {

inline constexpr std::string_view kMetaschemaUri = "https://json-schema.org/draft/2020-12/schema";

// nullptr if that URI is none of them.
const value* built_in_schema(std::string_view uri);

// What is wrong with a schema, by its metaschema.
std::vector<SchemaError> metaschema_errors(const value& schema);

}  // namespace llm::json::rules
