#pragma once

#include <fmt/format.h>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "access/jwt/jwk.h"
#include "async/event.h"
#include "net/http_server.h"

namespace llm::access {

// For tests: an OpenID Connect provider on a real socket of the test's loop, that answers what the test sets.
class ProviderUnderTest {
 public:
  struct Answer {
    int status = 200;
    std::string body = {};
    std::vector<std::pair<std::string, std::string>> headers = {};
    bool gated = false;    // waits for open_gate()
    bool endless = false;  // a body that never ends
  };

  explicit ProviderUnderTest(Loop& loop)
      : server_({&loop}, {}, [this](net::Exchange& exchange) { return handle(exchange); }),
        gate_(loop.executor()),
        changed_(loop.executor()) {
    const int fd = net::listen_tcp("127.0.0.1", 0).value();
    port_ = net::local_port(fd);
    server_.accept_on(fd);
    answers["/.well-known/openid-configuration"].body =
        fmt::format(R"({{"issuer":"{}","jwks_uri":"{}/keys"}})", issuer(), issuer());
  }

  std::string issuer() const { return fmt::format("http://127.0.0.1:{}", port_); }
  void publish(const std::vector<Jwk>& keys) { answers["/keys"].body = write_jwk_set(keys); }
  std::string sign(const Jwk& key, const json::object& claims, std::string_view type = "at+jwt") const {
    return sign_jws(key, type, json::write(claims)).value();
  }
  int asked(const std::string& target) const {
    const auto found = counts_.find(target);
    return found == counts_.end() ? 0 : found->second;
  }
  int fetches() const { return asked("/keys"); }
  Task<void> until_asked(std::string target, int count) {
    while (asked(target) < count) co_await changed_.wait();
  }
  void open_gate() { gate_.notify(); }
  Task<void> stop() {
    server_.stop_accepting();
    server_.cancel();
    co_await server_.drained();
  }

  std::map<std::string, Answer> answers;  // by target; others are 404

 private:
  Task<void> handle(net::Exchange& exchange) {
    const std::string target(exchange.target());
    ++counts_[target];
    changed_.notify();
    const auto found = answers.find(target);
    if (found == answers.end()) {
      co_await exchange.respond(404, "text/plain", "nothing here");
      co_return;
    }
    const Answer answer = found->second;
    if (answer.gated) {
      const auto linked = exchange.cancelled().on_cancel([&] { gate_.notify(); });
      co_await gate_.wait();
    }
    for (const auto& [name, value] : answer.headers) exchange.response_headers().add(name, value);
    if (answer.endless) {
      const std::string piece(16 * 1024, ' ');
      co_await exchange.begin_stream(200, "application/json");
      while (co_await exchange.write(piece)) {
      }
      co_return;
    }
    co_await exchange.respond(answer.status, "application/json", answer.body);
  }

  net::HttpServer server_;
  Event gate_;
  Event changed_;
  std::uint16_t port_ = 0;
  std::map<std::string, int> counts_;
};

}  // namespace llm::access
