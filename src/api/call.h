#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "access/access_control.h"
#include "access/host_policy.h"
#include "access/principal.h"
#include "api/limit_headers.h"
#include "api/routing_headers.h"
#include "inference/local_model_api.h"
#include "json/json.h"
#include "net/http_server.h"
#include "net/websocket.h"
#include "observe/health.h"

namespace llm::api {

// What all handlers share. Outlives the server.
struct Services {
  inference::Backend& backend;
  access::HostPolicy& hosts;
  access::AccessControl* access = nullptr;  // null: everybody is the local user (tests, tools of one user)
  observe::Health& health;
  observe::Log& log;
  observe::GatewayMetrics& metrics;
  net::WebSocketSettings websocket;
  bool serve_metrics = true;
  std::string default_model;
  // "https://llm.example": what clients call this gateway; empty: what each request's Host says.
  std::string public_url = {};
  std::vector<std::string> authorization_servers = {};  // URLs of the issuers whose tokens are good here
};

// One request on its way through middleware and handler.
struct Call {
  net::Exchange& exchange;
  Services& services;
  std::string_view path;   // decoded target without query
  std::string_view query;  // raw, without '?'
  std::string name;        // the {name} of the route's pattern, decoded
  // Of routes that take JSON. Its memory is the call's own, so that parsing costs two allocations and freeing none:
  // what outlives the call has to be a copy, not moved out of here.
  boost::json::monotonic_resource memory{2048};
  json::object body{&memory};
  access::Principal principal;
  inference::CallOptions routing = {};

  inference::LocalModelApi models() {
    return {services.backend, exchange.loop(), principal, exchange.request_id, call_options()};
  }
  // What the answer's head tells of limits and of who answered; what the request's head says about routing.
  inference::CallOptions call_options() const {
    inference::CallOptions options = routing;
    options.on_limits = [this](const access::LimitReport& report) { set_limit_headers(exchange, report); };
    options.on_served = [this](const inference::Served& served) { set_served_headers(exchange, served); };
    return options;
  }
};

}  // namespace llm::api
