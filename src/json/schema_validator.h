#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "json/json.h"

// JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12): compile a schema once, validate often.
namespace llm::json {

namespace rules {
struct Program;
}

// What schemas and documents from outside may cost. Past a limit of validate() the document is refused.
struct SchemaLimits {
  std::size_t max_schema_depth = 128;          // JSON levels of a schema document
  std::size_t max_subschemas = 20'000;         // in all documents that are used
  std::size_t max_pattern_size = 500'000;      // instructions of all compiled patterns together
  std::size_t max_depth = 512;                 // of schemas being applied within schemas, at one place of a document
  std::size_t max_steps = 4'000'000;           // of one validate(): about one per subschema and value, some 20 ns each
  std::size_t max_pattern_ms = 500;            // of one validate(): CPU time, looked at when patterns may take long
  std::size_t max_pattern_risk = 200'000'000;  // pattern size * bytes of one text: 2 s if all goes wrong
  std::size_t max_errors = 8;                  // that validate() collects
};

// Schema documents by their URI (without fragment). Nothing is ever fetched: a $ref to another document finds it here
// or is an error.
using SchemaLibrary = std::map<std::string, value, std::less<>>;

struct SchemaSettings {
  SchemaLimits limits{};
  bool assert_formats = false;             // `format` is checked where the format is known, else it is a comment
  const SchemaLibrary* library = nullptr;  // read by compile() only
};

// One way in which a document does not fit.
struct SchemaError {
  std::string pointer;  // JSON Pointer of the place in the document
  std::string keyword;  // JSON Pointer of the keyword in the schema; in another document behind its URI and '#'
  std::string message;  // "must be at least 1; got 0"
  friend bool operator==(const SchemaError&, const SchemaError&) = default;
};
// "/max_tokens: must be at least 1; got 0"
std::string to_string(const SchemaError& error);

// A compiled schema. Immutable and cheap to copy; all functions may be called from any thread.
class Schema {
 public:
  // Copies what it needs of `schema`. kInvalidArgument with the JSON Pointer of the place in the schema: it breaks the
  // rules of the dialect, names an unsupported one in $schema, refers to what is not there (or to itself without end),
  // has a pattern that is wrong or needs backtracking, or passes a limit.
  static Result<Schema> compile(const value& schema, const SchemaSettings& settings = {});

  // Empty: the document fits. Takes no memory then, but for arrays of more than 16 items with `uniqueItems` and for
  // `unevaluated...` over more than 256 members. `pointer` is put before each error's.
  std::vector<SchemaError> validate(const value& document, std::string_view pointer = {}) const;

  // The same as one kInvalidArgument: the pointer of the first error, the messages of all.
  Result<void> check(const value& document, std::string_view pointer = {}) const;

 private:
  Schema(std::shared_ptr<const rules::Program> program, const SchemaLimits& limits);

  std::shared_ptr<const rules::Program> program_;  // shared by copies
  SchemaLimits limits_;
};

}  // namespace llm::json
