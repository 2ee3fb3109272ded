#include "engines/memory_eviction.h"

#include <algorithm>
#include <tuple>

namespace llm::engines {

std::optional<std::vector<std::string>> choose_victims(std::vector<Evictable> candidates,
                                                       std::span<const std::string> going,
                                                       const std::function<bool(std::span<const std::string>)>& fits) {
  std::ranges::sort(candidates, {}, [](const Evictable& one) {
    return std::tuple(one.priority, one.busy, one.last_used, std::string_view(one.key));
  });
  std::vector<std::string> gone(going.begin(), going.end());
  std::vector<std::string> chosen;
  bool enough = fits(gone);
  for (const auto& candidate : candidates) {
    if (enough) break;
    gone.push_back(candidate.key);
    chosen.push_back(candidate.key);
    enough = fits(gone);
  }
  if (!enough) return std::nullopt;
  // The most valuable first: which of them can stay after all?
  for (std::size_t i = chosen.size(); i-- > 0;) {
    std::vector<std::string> fewer(going.begin(), going.end());
    for (std::size_t other = 0; other < chosen.size(); ++other) {
      if (other != i) fewer.push_back(chosen[other]);
    }
    if (fits(fewer)) chosen.erase(chosen.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return chosen;
}

}  // namespace llm::engines
