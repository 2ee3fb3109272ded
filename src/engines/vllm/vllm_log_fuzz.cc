#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/strings.h"
#include "engines/vllm/vllm_log.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool known : {false, true}) {
    llm::engines::PhaseTimes last{};
    last[1] = last[3] = std::chrono::milliseconds(1000);
    llm::engines::VllmLog log(known ? std::optional(last) : std::nullopt,
                              [] { return std::chrono::steady_clock::time_point(); });
    double before = 0;
    for (const auto line : llm::split(text, '\n')) {
      log.add(line);
      const auto progress = log.progress();
      if (progress.fraction < before || progress.fraction > 1) std::abort();  // never back, never beyond
      before = progress.fraction;
      if (!llm::valid_utf8(progress.phase)) std::abort();
    }
    const auto error = log.explain("e", llm::engines::LaunchExit{.status = 1}, false);
    if (!llm::valid_utf8(error.message) || error.message.size() > 16'000) std::abort();
  }
  return 0;
}
