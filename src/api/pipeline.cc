#include "api/pipeline.h"

#include <fmt/format.h>

#include "api/error_body.h"
#include "api/middleware/access_log.h"
#include "api/middleware/authentication.h"
#include "api/middleware/content.h"
#include "api/middleware/cors.h"
#include "api/middleware/request_id.h"
#include "api/middleware/security_headers.h"
#include "net/sse.h"

namespace llm::api {

Task<void> Pipeline::handle(net::Exchange& exchange) {
  assign_request_id(exchange);
  exchange.fixed_fields = security_fields(exchange.peer().tls, true);
  const AccessLog access(services_, exchange);
  Call call{.exchange = exchange, .services = services_, .path = {}, .query = {}, .name = {}, .principal = {}};
  const auto result = co_await run(call);
  if (!result) co_await answer_error(call, result.error());
}

Task<Result<void>> Pipeline::run(Call& call) {
  auto& exchange = call.exchange;
  if (auto allowed = services_.hosts.check(exchange.headers().get("host"), exchange.headers().get("origin"));
      !allowed) {
    co_return allowed;
  }
  add_cors_fields(call);
  const auto target = exchange.target();
  const auto question = target.find('?');
  if (question != std::string_view::npos) call.query = target.substr(question + 1);
  const auto path = decode_path(target.substr(0, question));
  if (!path) co_return fail(path.error());
  call.path = *path;
  auto match = routes_.match(exchange.method(), *path);
  if (!match.route) {
    if (match.allow.empty()) {
      co_return fail(ErrorCode::kNotFound, fmt::format("there is nothing at {}; GET / lists the routes", *path));
    }
    if (is_preflight(call)) co_return co_await answer_preflight(call, match.allow);
    exchange.response_headers().set("Allow", match.allow);
    co_return fail(ErrorCode::kMethodNotAllowed,
                   fmt::format("{} does not work here; {} takes {}", exchange.method(), *path, match.allow));
  }
  const Route& route = *match.route;
  exchange.route = route.pattern;
  exchange.fixed_fields = security_fields(exchange.peer().tls, may_be_stored(route));
  call.name = std::move(match.name);
  auto known = try_authenticate(call, route);
  if (!known) known = co_await authenticate(call, route);
  if (!*known) co_return std::move(*known);
  if (route.permission == access::Permission::kGenerate) {
    if (route.body == Body::kJson) set_local_header(exchange);
    auto options = read_call_options(exchange.headers());
    if (!options) co_return fail(std::move(options.error()));
    call.routing = std::move(*options);
  }
  if (route.body == Body::kJson) {
    if (auto read = co_await read_json_body(call); !read) co_return read;
  }
  co_return co_await route.handler(call);
}

Task<void> Pipeline::answer_error(Call& call, const Error& failure) {
  auto& exchange = call.exchange;
  // Whoever still hears this did not cancel anything: the gateway stops, and its drain time is over.
  const bool cut = failure.code == ErrorCode::kCancelled && services_.health.readiness().http_status() != 200;
  const Error stopping{ErrorCode::kUnavailable, "the gateway is shutting down", {}, {}, 1};
  const Error& error = cut ? stopping : failure;
  const std::string body = json::write(error_body(error, exchange.request_id));
  if (exchange.started()) {
    // The head is out: the error is the stream's last event.
    std::string event;
    net::append_sse_data(event, body);
    if (co_await exchange.write(event)) (void)co_await exchange.end_stream();
    co_return;
  }
  if (error.retry_after_s > 0) exchange.response_headers().set("Retry-After", std::to_string(error.retry_after_s));
  (void)co_await exchange.respond(describe(error.code).http_status, "application/json", body);
}

}  // namespace llm::api
