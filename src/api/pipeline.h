#pragma once

#include "api/call.h"
#include "api/route_table.h"

namespace llm::api {

// What every request goes through, in this order:
//   request id → [access log and metrics around the rest] → Host and Origin → route → who asks and may they → content
//   type and body → handler
// Each step is one file in middleware/. Errors end here: this is the only place that turns one into an answer.
class Pipeline {
 public:
  Pipeline(Services& services, RouteTable routes) : services_(services), routes_(std::move(routes)) {}
  Task<void> handle(net::Exchange& exchange);

 private:
  Task<Result<void>> run(Call& call);
  Task<void> answer_error(Call& call, const Error& failure);

  Services& services_;
  RouteTable routes_;
};

}  // namespace llm::api
