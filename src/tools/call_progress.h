#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "inference/model_api.h"
#include "mcp/context.h"

namespace llm::tools {

// Turns the events of one call into MCP progress, which grows with every report, as MCP wants, at most once per
// interval; and keeps the text so far for the case that the call is cut. Lives as long as the call that uses its sink;
// one loop.
//
// Units: of a generation, loading the model counts as a fraction below 1 and every token as 1; of a load, percent; of a
// pull, bytes.
class CallProgress {
 public:
  enum class Unit { kTokens, kPercent, kBytes };
  static constexpr std::size_t kMostMessageBytes = 4096;  // of a text so far, its end

  CallProgress(const mcp::Context& call, std::chrono::milliseconds interval, Unit unit)
      : progress_(call.progress), keep_partial_(call.keep_partial), interval_(interval), unit_(unit) {}
  CallProgress(const CallProgress&) = delete;
  CallProgress& operator=(const CallProgress&) = delete;

  // How many tokens there can be at most.
  void expect(std::optional<std::int64_t> tokens) { expected_ = tokens; }

  // Empty when nobody wants to hear: then the gateway need not stream. Refers to this object.
  inference::EventSink sink();

  void on_event(const json::object& event);

  // Keeps the last of the text, too. For a call that failed.
  void keep_all() const;

 private:
  bool due();
  void report(double value, std::optional<double> total, std::string_view message);
  void on_text(const json::object& event, std::string_view text);
  void on_loading(const json::object& event);
  void on_transfer(const json::object& event, std::string_view status);
  std::string message() const;

  mcp::Progress progress_;
  std::function<void(std::string_view)> keep_partial_;
  std::chrono::milliseconds interval_;
  Unit unit_;
  std::optional<std::chrono::steady_clock::time_point> reported_;
  double value_ = 0;
  std::optional<std::int64_t> expected_;
  std::int64_t tokens_ = 0;
  std::string text_;
};

}  // namespace llm::tools
