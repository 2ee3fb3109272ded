#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "observe/log.h"

namespace llm::observe {

// A log for tests that keeps its lines. The capture must outlive every user of log(). Any thread.
class LogCapture {
 public:
  explicit LogCapture(LogLevel level = LogLevel::kTrace, LogFormat format = LogFormat::kJson)
      : log_(Log::to_target(
            [this](LogLevel, std::string_view line) {
              const std::lock_guard lock(mutex_);
              lines_.emplace_back(line.substr(0, line.size() - 1));
            },
            level, format)) {}

  Log& log() { return *log_; }

  std::vector<std::string> lines() const {  // without their LF
    const std::lock_guard lock(mutex_);
    return lines_;
  }
  bool contains(std::string_view text) const {
    const std::lock_guard lock(mutex_);
    for (const auto& line : lines_) {
      if (line.find(text) != std::string::npos) return true;
    }
    return false;
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    lines_.clear();
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
  std::unique_ptr<Log> log_;
};

}  // namespace llm::observe
