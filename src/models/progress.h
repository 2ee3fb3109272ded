#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string_view>

#include "base/error.h"

namespace llm::models {

// What a long operation is doing. `bytes_total` is 0 while unknown; both count within the phase.
enum class Phase { kResolving, kDownloading, kCopying, kVerifying, kFinishing };

struct Progress {
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;
  Phase phase = Phase::kResolving;
  friend bool operator==(const Progress&, const Progress&) = default;
};

// Called on the thread that runs the operation, at least at each change of phase and about once per MiB; it must be
// quick and must not call back into the operation. May be empty.
using ProgressCallback = std::function<void(const Progress&)>;

constexpr std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::kResolving:
      return "resolving";
    case Phase::kDownloading:
      return "downloading";
    case Phase::kCopying:
      return "copying";
    case Phase::kVerifying:
      return "verifying";
    case Phase::kFinishing:
      return "finishing";
  }
  return "";
}

inline void report(const ProgressCallback& callback, Phase phase, std::uint64_t done, std::uint64_t total) {
  if (callback) callback({done, total, phase});
}

inline Result<void> check_cancelled(const std::atomic<bool>& cancelled) {
  if (cancelled.load(std::memory_order_relaxed)) return fail(ErrorCode::kCancelled, "cancelled");
  return {};
}

}  // namespace llm::models
