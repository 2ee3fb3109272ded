#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engines/vllm/vllm_metrics.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::size_t lines = 0;
  llm::engines::read_metric_lines(text, [&](const llm::engines::MetricLine& line) {
    if (line.name.empty()) std::abort();
    ++lines;
  });
  if (lines > size) std::abort();
  const auto figures = llm::engines::vllm_figures(text);
  for (const auto& figure : llm::engines::vllm_figure_table()) {
    const auto value = figures.*figure.member;
    if (value && std::isnan(*value)) std::abort();
  }
  return 0;
}
