#pragma once

#include <span>
#include <string>
#include <string_view>

#include "async/task.h"
#include "json/json.h"
#include "net/http_server.h"

namespace llm::api {

// A text/event-stream answer. The head goes out with the first event, so that what fails before it is a plain HTTP
// error.
class EventStream {
 public:
  explicit EventStream(net::Exchange& exchange) : exchange_(exchange) {}
  // All payloads as `data:` events in one write.
  Task<Result<void>> send(std::span<const std::string_view> payloads);
  Task<Result<void>> send(const json::object& event);
  // `data: [DONE]` and the end.
  Task<Result<void>> finish();

 private:
  Task<Result<void>> begin(std::string_view first);
  net::Exchange& exchange_;
  std::string out_;  // reused from write to write
};

}  // namespace llm::api
