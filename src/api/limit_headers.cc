#include "api/limit_headers.h"

#include "access/limits/rate_limit_headers.h"

namespace llm::api {

void set_limit_headers(net::Exchange& exchange, const access::LimitReport& report) {
  if (exchange.started()) return;
  for (const auto& [name, value] : access::rate_limit_headers(report)) exchange.response_headers().set(name, value);
}

}  // namespace llm::api
