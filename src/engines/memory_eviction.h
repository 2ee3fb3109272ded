#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace llm::engines {

// A loaded engine that may have to go for another.
struct Evictable {
  std::string key;
  std::int32_t priority = 0;
  bool busy = false;  // requests use it or wait for it
  std::chrono::steady_clock::time_point last_used{};
};

// Which engines have to go, beside those that go anyway, so that `fits` is true: the lowest priority first, of those
// the idle before the busy, then the longest unused; and none whose memory is not needed. Empty optional: not even all
// of them would do. `fits` must be monotonic: what fits without some engines fits without more of them.
std::optional<std::vector<std::string>> choose_victims(std::vector<Evictable> candidates,
                                                       std::span<const std::string> going,
                                                       const std::function<bool(std::span<const std::string>)>& fits);

}  // namespace llm::engines
