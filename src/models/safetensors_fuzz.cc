// Any bytes: the safetensors reader must answer with facts that fit the file, or with an error.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "models/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto facts = llm::models::parse_safetensors(bytes, size);
  (void)llm::models::parse_safetensors(bytes, std::uint64_t{1} << 40);  // only the start of a large file
  if (facts && facts->bytes > size) std::abort();
  return 0;
}
