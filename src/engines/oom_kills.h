#pragma once

#include <cstdint>

namespace llm::engines {

// Out-of-memory kills that the kernel has counted in our cgroup (cgroup v2: memory.events); 0 where it does not tell.
// More than before a child was started: it may have been one of them.
std::uint64_t oom_kills();

}  // namespace llm::engines
