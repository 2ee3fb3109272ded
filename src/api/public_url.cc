#include "api/public_url.h"

#include <fmt/format.h>

namespace llm::api {

std::string public_origin(const Call& call) {
  return public_origin(call.services, call.exchange);
}

std::string public_origin(const Services& services, const net::Exchange& exchange) {
  if (!services.public_url.empty()) return services.public_url;
  std::string_view host = exchange.headers().get("host").value_or("localhost");
  // It is repeated inside quotes.
  if (host.find_first_of("\"\\ ") != std::string_view::npos) host = "localhost";
  return fmt::format("{}://{}", exchange.peer().tls ? "https" : "http", host);
}

}  // namespace llm::api
