#include "json/schema_validator.h"

#include <fmt/format.h>
#include <utility>

#include "json/schema_compile.h"
#include "json/schema_evaluate.h"

namespace llm::json {

std::string to_string(const SchemaError& error) {
  return error.pointer.empty() ? error.message : fmt::format("{}: {}", error.pointer, error.message);
}

Schema::Schema(std::shared_ptr<const rules::Program> program, const SchemaLimits& limits)
    : program_(std::move(program)), limits_(limits) {}

Result<Schema> Schema::compile(const value& schema, const SchemaSettings& settings) {
  auto program = rules::compile_program(schema, settings, rules::Trust::kCheck);
  if (!program) return fail(std::move(program.error()));
  return Schema(std::move(*program), settings.limits);
}

std::vector<SchemaError> Schema::validate(const value& document, std::string_view pointer) const {
  return rules::evaluate(*program_, limits_, document, pointer);
}

Result<void> Schema::check(const value& document, std::string_view pointer) const {
  const auto errors = validate(document, pointer);
  if (errors.empty()) return {};
  if (errors.size() == 1) return fail(ErrorCode::kInvalidArgument, errors.front().message, errors.front().pointer);
  std::string messages;
  for (const auto& error : errors) messages.append(messages.empty() ? "" : "; ").append(to_string(error));
  return fail(ErrorCode::kInvalidArgument, std::move(messages), errors.front().pointer);
}

}  // namespace llm::json
