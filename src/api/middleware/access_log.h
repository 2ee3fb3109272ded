#pragma once

#include <chrono>

#include "api/call.h"

namespace llm::api {

// Counts and logs the exchange when it ends, however it ends. On the stack of the pipeline.
class AccessLog {
 public:
  AccessLog(Services& services, net::Exchange& exchange) : services_(services), exchange_(exchange) {}
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

 private:
  Services& services_;
  net::Exchange& exchange_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace llm::api
