// A schema and, after a line feed, a document for it: nothing may crash or run away, and every refusal is explained.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/strings.h"
#include "json/schema_validator.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace llm::json;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto line = text.find('\n');
  if (line == std::string_view::npos) return 0;
  const auto schema_text = parse(text.substr(0, line));
  const auto document = parse(text.substr(line + 1));
  if (!schema_text || !document) return 0;
  const SchemaLimits limits{.max_subschemas = 500, .max_pattern_size = 20'000, .max_steps = 20'000};
  for (const bool formats : {false, true}) {
    const auto schema = Schema::compile(*schema_text, {.limits = limits, .assert_formats = formats});
    if (!schema) {
      if (schema.error().message.empty()) std::abort();
      return 0;
    }
    const auto errors = schema->validate(*document, "/at");
    if (errors.size() > limits.max_errors) std::abort();
    for (const auto& error : errors) {
      if (error.message.empty() || !error.pointer.starts_with("/at") || !llm::valid_utf8(error.message)) std::abort();
      // Only a limit has no keyword.
      const bool limit = error.message.find("takes more than") != std::string::npos ||
                         error.message.find("levels deep") != std::string::npos ||
                         error.message.find("pattern") != std::string::npos;
      if (error.keyword.empty() && !limit && !schema_text->is_bool()) std::abort();
    }
    if (schema->check(*document).has_value() != errors.empty()) std::abort();
  }
  return 0;
}
