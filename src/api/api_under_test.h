#pragma once

#include <memory>
#include <string>
#include <utility>

#include "api/pipeline.h"
#include "api/routes.h"
#include "inference/service_under_test.h"
#include "net/raw_peer.h"

namespace llm::api {

// For tests: the pipeline on an HTTP server, with the service and the scripted upstream behind it.
class ApiUnderTest {
 public:
  ApiUnderTest() : ApiUnderTest(make_routes()) {}
  explicit ApiUnderTest(RouteTable routes, net::WebSocketSettings websocket = {},
                        std::vector<std::string> allowed_origins = {})
      : hosts({}, std::move(allowed_origins)),
        services{.backend = back.backend,
                 .hosts = hosts,
                 .health = health,
                 .log = back.log.log(),
                 .metrics = back.metrics,
                 .websocket = websocket,
                 .default_model = {}},
        pipeline(services, std::move(routes)),
        server({&back.loop}, {}, [this](net::Exchange& exchange) { return pipeline.handle(exchange); }) {
    health.started();
  }

  void run(Task<void> task) { back.run(run_and_stop(std::move(task))); }

  // A connection over a pipe.
  net::RawPeer open() {
    auto [ours, theirs] = std::move(*net::make_pipe(back.loop.executor()));
    server.serve(std::move(ours), peer);
    return {back.loop, std::move(theirs)};
  }
  // The whole answer to one request on a connection of its own. `head`: without the last empty line.
  Task<std::string> ask(std::string head, std::string body = {}) {
    auto peer = open();
    head += "\r\nConnection: close\r\n";
    if (!body.empty()) head += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    co_await peer.send(head + "\r\n" + body);
    co_return co_await peer.read_to_end();
  }
  Task<std::string> get(std::string target) { return ask("GET " + target + " HTTP/1.1\r\nHost: localhost"); }
  Task<std::string> post(std::string target, std::string body) {
    return ask("POST " + target + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json", std::move(body));
  }
  Task<void> stop_server() {
    server.stop_accepting();
    server.cancel();
    co_await server.drained();
  }

  inference::ServiceUnderTest back;
  net::Peer peer{.unix_socket = true, .address = "unix"};  // who connects
  access::HostPolicy hosts;
  observe::Health health;
  Services services;
  Pipeline pipeline;
  net::HttpServer server;

 private:
  Task<void> run_and_stop(Task<void> task) {
    co_await std::move(task);
    co_await stop_server();
  }
};

// "404" of an answer, the value of a field of its head (empty: none), and what follows the head.
inline std::string status_of(const std::string& answer) {
  return answer.size() > 12 ? answer.substr(9, 3) : answer;
}
inline std::string field_of(const std::string& answer, const std::string& name) {
  const auto at = answer.find("\r\n" + name + ": ");
  if (at == std::string::npos || at > answer.find("\r\n\r\n")) return {};
  const auto begin = at + name.size() + 4;
  return answer.substr(begin, answer.find("\r\n", begin) - begin);
}
inline std::string body_of(const std::string& answer) {
  const auto end = answer.find("\r\n\r\n");
  return end == std::string::npos ? "" : answer.substr(end + 4);
}
// The `error` object of an answer's body.
inline json::object error_of(const std::string& answer) {
  const auto parsed = json::parse(body_of(answer));
  if (!parsed || !parsed->is_object()) return {};
  const auto* error = json::find(parsed->get_object(), "error");
  return error && error->is_object() ? error->get_object() : json::object();
}

}  // namespace llm::api
