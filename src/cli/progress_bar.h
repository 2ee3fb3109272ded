#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "cli/terminal.h"
#include "json/json.h"

namespace llm::cli {

// What a progress line shows. With `bytes` done and total are bytes (total 0: unknown), else parts of a whole.
struct ProgressView {
  std::string label;  // "pulling smollm2"
  std::string phase;  // "downloading"; may be empty
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  bool bytes = false;
  double bytes_per_second = 0;  // 0: unknown
};

// One line of at most `width` columns:
//   pulling smollm2  downloading  [#######-----]  58%  54.7 MiB / 94.3 MiB  12.1 MiB/s  0:03 left
// What does not fit is left out: first the bar, then the times, then the amounts.
std::string render_progress(const ProgressView& view, std::size_t width, bool utf8);

// The progress of one operation on standard error: one line that is redrawn on a terminal, else a line every few
// seconds; nothing with --quiet. One thread at a time; the terminal must outlive it.
class ProgressBar {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  ProgressBar(Terminal& terminal, std::string label, Clock clock = std::chrono::steady_clock::now);
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void bytes(std::string_view phase, std::uint64_t done, std::uint64_t total);
  void fraction(std::string_view phase, double fraction);  // 0..1
  // An event of inference::EventSink: {"status":…, "progress":…} or {"status":…, "bytes_done":…, "bytes_total":…}.
  void event(const json::object& event);
  // Takes the line off the terminal; before anything else is written there.
  void clear();

 private:
  void show(std::string_view phase);
  void measure(std::chrono::steady_clock::time_point now);

  Terminal& terminal_;
  Clock clock_;
  ProgressView view_;
  std::optional<std::chrono::steady_clock::time_point> last_shown_;
  std::optional<std::chrono::steady_clock::time_point> phase_start_;
  std::uint64_t phase_start_bytes_ = 0;
  bool line_on_screen_ = false;
};

}  // namespace llm::cli
