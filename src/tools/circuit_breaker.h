#pragma once

#include <chrono>
#include <optional>

namespace llm::tools {

// Keeps calls away from something that fails again and again: after `failures` in a row it is open for `pause`, then
// lets one call through as a probe, whose outcome closes or opens it again. No clock of its own, no I/O. One loop.
class CircuitBreaker {
 public:
  using Clock = std::chrono::steady_clock;
  struct Settings {
    int failures = 3;
    std::chrono::milliseconds pause{60'000};
  };

  explicit CircuitBreaker(Settings settings) : settings_(settings) {}

  // nullopt: go ahead, and say later how it went. Else the time until the next probe; 0 while one is under way.
  std::optional<std::chrono::milliseconds> refuses(Clock::time_point now) {
    if (failed_ < settings_.failures) return std::nullopt;
    if (now < open_until_) return std::chrono::ceil<std::chrono::milliseconds>(open_until_ - now);
    if (probing_) return std::chrono::milliseconds(0);
    probing_ = true;
    return std::nullopt;
  }
  void succeeded() {
    failed_ = 0;
    probing_ = false;
  }
  void failed(Clock::time_point now) {
    if (failed_ < settings_.failures) ++failed_;
    probing_ = false;
    if (failed_ >= settings_.failures) open_until_ = now + settings_.pause;
  }
  // It ended without telling anything (the caller cancelled).
  void abandoned() { probing_ = false; }

 private:
  Settings settings_;
  int failed_ = 0;  // in a row
  bool probing_ = false;
  Clock::time_point open_until_ = {};
};

}  // namespace llm::tools
