// Whatever is accepted can be written as JSON and has places only for what is there; whatever is refused says where.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cli/yaml.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parsed = llm::cli::parse_yaml({reinterpret_cast<const char*>(data), size});
  if (!parsed) {
    if (parsed.error().code != llm::ErrorCode::kMalformed || parsed.error().details.size() != 2) std::abort();
    return 0;
  }
  if (!llm::json::parse(llm::json::write(parsed->value), {.max_depth = 128})) std::abort();
  for (const auto& [pointer, position] : parsed->positions) {
    boost::system::error_code error;
    if (parsed->value.find_pointer(pointer, error) == nullptr || position.line < 1 || position.column < 1) std::abort();
  }
  if (parsed->value.is_primitive()) llm::cli::yaml_scalar(parsed->value);
  return 0;
}
