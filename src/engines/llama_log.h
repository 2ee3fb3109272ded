#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/child_process.h"
#include "base/error.h"
#include "engines/engine.h"

namespace llm::engines {

// Reads llama-server's log: how far the load is and, once it has failed, why. Keeps the last lines.
class LlamaLog {
 public:
  void add(std::string_view line);
  const LoadProgress& progress() const { return progress_; }
  std::vector<std::string> last_lines() const { return {lines_.begin(), lines_.end()}; }

  // The error for an engine that ended (`exit`) or never became ready: the cause as far as the log tells it, and what
  // to do about it. `oom_killed`: the system reports out-of-memory kills since the start.
  Error explain(std::string_view model, std::optional<ExitStatus> exit, bool oom_killed) const;

 private:
  static constexpr std::size_t kKeep = 200;
  std::deque<std::string> lines_;
  LoadProgress progress_{"starting", 0.02};
};

}  // namespace llm::engines
