#include "api/middleware/access_log.h"

namespace llm::api {

AccessLog::~AccessLog() {
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  const int status = exchange_.started() ? exchange_.status() : 499;  // the client left before there was an answer
  services_.metrics.route(exchange_.route).request(exchange_.method(), status, seconds);
  // Inference has a line of its own; probes and scrapes would drown the rest.
  const auto level = status >= 500 ? observe::LogLevel::kWarn : observe::LogLevel::kDebug;
  if (!services_.log.enabled(level)) return;
  services_.log.log(level, "http",
                    {{"request_id", exchange_.request_id},
                     {"method", exchange_.method()},
                     {"route", exchange_.route},
                     {"status", status},
                     {"bytes", exchange_.bytes_sent()},
                     {"ms", seconds * 1000},
                     {"peer", exchange_.peer().address}});
}

}  // namespace llm::api
