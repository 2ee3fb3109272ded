#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "inference/model_api.h"
#include "mcp/tool.h"

namespace llm::tools {

// Turns the events of one call into MCP progress: grows with every report, as MCP wants, and reports at most once per
// interval. Lives as long as the call that uses its sink; one loop.
//
// Units: of a generation, loading the model counts as a fraction below 1 and every token as 1; of a load, percent; of a
// pull, bytes.
class CallProgress {
 public:
  enum class Unit { kTokens, kPercent, kBytes };

  CallProgress(mcp::Progress progress, std::chrono::milliseconds interval, Unit unit)
      : progress_(std::move(progress)), interval_(interval), unit_(unit) {}
  CallProgress(const CallProgress&) = delete;
  CallProgress& operator=(const CallProgress&) = delete;

  // Empty when the client does not want to hear: then the gateway need not stream. Refers to this object.
  inference::EventSink sink();

  void on_event(const json::object& event);

 private:
  static constexpr std::size_t kTailBytes = 160;  // of the text so far

  bool due();
  void report(double value, std::optional<double> total, std::string_view message);
  void on_text(const json::object& event, std::string_view text);
  void on_loading(const json::object& event);
  void on_transfer(const json::object& event, std::string_view status);

  mcp::Progress progress_;
  std::chrono::milliseconds interval_;
  Unit unit_;
  std::optional<std::chrono::steady_clock::time_point> reported_;
  double value_ = 0;
  std::int64_t tokens_ = 0;
  std::string tail_;
};

}  // namespace llm::tools
