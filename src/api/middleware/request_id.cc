#include "api/middleware/request_id.h"

#include <algorithm>

#include "inference/local_model_api.h"

namespace llm::api {

void assign_request_id(net::Exchange& exchange) {
  const auto given = exchange.headers().get("x-request-id");
  const bool usable =
      given && !given->empty() && given->size() <= 128 && std::ranges::all_of(*given, [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' || c == ':';
      });
  exchange.request_id = usable ? std::string(*given) : inference::new_request_id();
  exchange.response_headers().add("X-Request-Id", exchange.request_id);
}

}  // namespace llm::api
