#pragma once

#include <deque>
#include <gtest/gtest.h>
#include <map>
#include <string>
#include <vector>

#include "async/run_task.h"
#include "engines/providers/provider_client.h"
#include "net/http_server.h"

namespace llm::engines {

// For tests: a server that answers each "METHOD /path" with what it was given, one after the other, the last one again
// and again; anything else with 404. Notes what it was asked.
class ScriptedProvider {
 public:
  explicit ScriptedProvider(Loop& loop)
      : fd_(net::listen_tcp("127.0.0.1", 0).value()),
        port_(net::local_port(fd_)),
        server_({&loop}, {}, [this](net::Exchange& exchange) { return handle(exchange); }) {
    server_.accept_on(fd_);
  }

  void answer(const std::string& request, std::string body, int status = 200) {
    answers_[request].push_back({status, std::move(body)});
  }
  ProviderSettings settings(dialects::ProviderKind kind) const {
    ProviderSettings settings;
    settings.preset = kind;
    settings.base_url = "http://127.0.0.1:" + std::to_string(port_) + "/v1";
    return settings;
  }
  std::uint16_t port() const { return port_; }
  Task<void> stop() {
    server_.stop_accepting();
    server_.cancel();
    co_await server_.drained();
  }

  std::vector<std::string> asked;  // "POST /api/pull {…}"
  std::vector<std::string> keys;   // Authorization of each

 private:
  struct Answer {
    int status;
    std::string body;
  };
  Task<void> handle(net::Exchange& exchange) {
    (void)co_await exchange.read_body();
    const std::string request = std::string(exchange.method()) + " " + std::string(exchange.target());
    asked.push_back(exchange.body().empty() ? request : request + " " + exchange.body());
    keys.emplace_back(exchange.headers().get("Authorization").value_or(""));
    Answer answer{404, R"({"error":"not found"})"};
    if (auto& left = answers_[request]; !left.empty()) {
      answer = left.front();
      if (left.size() > 1) left.pop_front();
    }
    (void)co_await exchange.respond(answer.status, "application/json", answer.body);
  }

  int fd_;
  std::uint16_t port_;
  net::HttpServer server_;
  std::map<std::string, std::deque<Answer>> answers_;
};

}  // namespace llm::engines
