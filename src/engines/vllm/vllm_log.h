#pragma once

#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engines/engine.h"
#include "engines/vllm/launcher.h"

namespace llm::engines {

// What a vLLM server does between its start and its first answer, in this order.
enum class StartPhase : std::uint8_t {
  kStarting,     // Python, the configuration
  kDownloading,  // weights that are not in the cache
  kLoading,      // weights into the GPU
  kCompiling,    // torch.compile
  kAllocating,   // the profile run and the KV cache
  kCapturing,    // CUDA graphs
  kServing,      // the HTTP server, the first request
};
inline constexpr std::size_t kStartPhases = 7;

// How long each phase took; zero where it was passed over.
using PhaseTimes = std::array<std::chrono::milliseconds, kStartPhases>;

// The durations of each engine's last start that succeeded: what estimates are made from. On the control loop.
class StartTimes {
 public:
  void remember(const std::string& engine, const PhaseTimes& times) { times_[engine] = times; }
  std::optional<PhaseTimes> find(const std::string& engine) const {
    const auto at = times_.find(engine);
    return at == times_.end() ? std::nullopt : std::optional(at->second);
  }

 private:
  std::map<std::string, PhaseTimes> times_;
};

// Reads vLLM's log (0.10 and newer): how far the start is, about how long it still takes and, once it has failed, why.
// Keeps the last lines. Sans-IO.
class VllmLog {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  explicit VllmLog(std::optional<PhaseTimes> last = {}, Clock clock = &std::chrono::steady_clock::now);

  // One line, or several that carriage returns divide (progress bars).
  void add(std::string_view text);
  // The HTTP server answers: what remains is the first request.
  void serves() { enter(StartPhase::kServing); }
  void ready();  // what the start's lines told is no cause of a later end
  // The phase in words, with counts and an estimate where there are any: "loading weights 2/4 shards (about 40 s
  // left)".
  LoadProgress progress() const;
  PhaseTimes times() const;  // so far
  std::vector<std::string> last_lines() const { return {lines_.begin(), lines_.end()}; }

  // Why an engine ended (`exit`) or never became ready: the cause as far as the log tells it, what to do about it and
  // the log's last lines. `out_of_memory`: the system reports out-of-memory kills since the start.
  Error explain(std::string_view engine, std::optional<LaunchExit> exit, bool out_of_memory) const;

 private:
  void add_line(std::string_view line);
  void enter(StartPhase phase);
  void count(StartPhase phase, std::string_view line, std::string_view unit);
  double fraction() const;
  std::optional<std::chrono::seconds> left() const;

  static constexpr std::size_t kKeep = 200;
  std::deque<std::string> lines_;
  std::string cause_line_;               // an early line that tells the cause, which may be far from the end
  std::size_t cause_ = ~std::size_t{0};  // its row in the table of causes; none
  std::optional<PhaseTimes> last_;
  Clock clock_;
  StartPhase phase_ = StartPhase::kStarting;
  std::array<std::optional<std::chrono::steady_clock::time_point>, kStartPhases> entered_{};
  double done_ = 0;      // of the phase, 0..1
  double best_ = 0;      // the largest fraction that was told
  std::string counted_;  // "2/4 shards"
};

// "about 3 min left", for people.
std::string text_of_wait(std::chrono::seconds left);

}  // namespace llm::engines
