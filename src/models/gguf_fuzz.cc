// Any bytes: the GGUF reader must answer with facts or an error, and the memory estimate must cope with the facts.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "models/gguf.h"
#include "models/manifest.h"
#include "models/memory_estimate.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto facts = llm::models::parse_gguf(bytes, size);
  (void)llm::models::parse_gguf(bytes, std::uint64_t{1} << 40);  // only the start of a large file
  if (!facts) return 0;
  if (facts->file_bytes != size || facts->tensor_bytes > size) std::abort();
  const auto estimate = llm::models::estimate_memory(*facts, {});
  if (!estimate || estimate->total < estimate->weights) std::abort();
  const auto again = llm::models::facts_from_json(to_json(*facts));
  if (!again || *again != *facts) std::abort();
  return 0;
}
