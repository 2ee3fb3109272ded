// Any bytes as the texts of a bundle: what is accepted names nothing but a bundle's own files.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "models/bundle_format.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto sums = llm::models::parse_sums(text)) {
    for (const auto& [path, digest] : *sums) {
      if (path.find("..") != std::string::npos || path.starts_with('/')) std::abort();
    }
    if (*llm::models::parse_sums(llm::models::write_sums(*sums)) != *sums) std::abort();
  }
  if (const auto manifest = llm::models::parse_bundle_manifest(text)) {
    const auto again = llm::models::parse_bundle_manifest(llm::models::bundle_manifest(*manifest));
    if (!again || *again != *manifest) std::abort();
  }
  return 0;
}
