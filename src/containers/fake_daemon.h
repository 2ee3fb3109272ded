#pragma once

#include <algorithm>
#include <deque>
#include <fmt/format.h>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unistd.h>
#include <vector>

#include "async/event.h"
#include "base/random.h"
#include "base/strings.h"
#include "json/json.h"
#include "json/schema_uri.h"
#include "net/http_server.h"

namespace llm::containers {

// For tests: a container engine on a Unix socket that keeps containers in a list and runs nothing. What it answers can
// be replaced request by request.
class FakeDaemon {
 public:
  struct Answer {
    int status = 200;
    std::string body;
  };
  struct Container {
    std::string id;
    std::string name;
    json::object body;  // of the request that created it
    std::string state = "created";
    int exit_code = 0;
    bool out_of_memory = false;
    std::uint16_t port = 0;
    std::string log;  // frames or, with a terminal, text
  };

  explicit FakeDaemon(Loop& loop)
      : loop_(loop),
        path_(fmt::format("/tmp/llm-fake-daemon-{}-{}.sock", getpid(), unique_id().substr(24))),
        server_({&loop}, {}, [this](net::Exchange& exchange) { return handle(exchange); }) {
    server_.accept_on(net::listen_unix(path_).value());
  }
  ~FakeDaemon() { unlink(path_.c_str()); }
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;

  std::string host() const { return "unix:" + path_; }
  Task<void> stop() {
    server_.stop_accepting();
    server_.cancel();
    wake();
    co_await server_.drained();
  }

  // The program in the container writes a line.
  void print(Container& container, std::string_view line, unsigned char stream = 2) {
    const std::string text = fmt::format("2026-01-31T12:00:00.{:09}Z {}\n", ++lines_, line);
    container.log.append({static_cast<char>(stream), 0, 0, 0});
    for (const int shift : {24, 16, 8, 0}) container.log.push_back(static_cast<char>(text.size() >> shift));
    container.log.append(text);
    wake();
  }
  void end(Container& container, int exit_code, bool out_of_memory = false) {
    container.state = "exited";
    container.exit_code = exit_code;
    container.out_of_memory = out_of_memory;
    wake();
  }
  Container& add(std::string name, std::string state, std::map<std::string, std::string> labels) {
    json::object own;
    for (const auto& [key, value] : labels) own[key] = value;
    auto& made = containers.emplace_back();
    made.id = fmt::format("{:064x}", ++ids_);
    made.name = std::move(name);
    made.body["Labels"] = std::move(own);
    made.state = std::move(state);
    made.port = 40'001;
    return made;
  }
  Container* find(std::string_view id) {
    const auto at = std::ranges::find(containers, id, &Container::id);
    return at == containers.end() ? nullptr : &*at;
  }
  // Breaks all connections that follow a log or wait, as a daemon does that starts anew.
  void break_streams() {
    ++breaks_;
    wake();
  }

  std::deque<Container> containers;  // a deque: references stay
  std::vector<std::string> images;
  std::string pull_body;                         // of a pull that works
  std::map<std::string, Answer> answers;         // by the request without version and query: "POST /containers/create"
  std::vector<std::string> seen;                 // "GET /version"
  std::map<std::string, std::string> auth_seen;  // X-Registry-Auth by target
  std::function<void(std::size_t)> on_request;   // with the number of requests so far
  std::size_t fail_at = 0;                       // the request with this number gets a 500
  json::object version{{"Version", "20.10.24"}, {"ApiVersion", "1.41"}, {"MinAPIVersion", "1.12"}};

 private:
  void wake() {
    for (Event* one : waiters_) one->notify();
  }

  // Until something changes or the client goes away.
  Task<void> changed(net::Exchange& exchange) {
    Event woken(loop_.executor());
    const auto registration = exchange.cancelled().on_cancel([&] { woken.notify(); });
    waiters_.push_back(&woken);
    if (!exchange.cancelled().cancelled()) co_await woken.wait();
    std::erase(waiters_, &woken);
  }

  Task<void> handle(net::Exchange& exchange) {
    std::string target(exchange.target());
    if (target.starts_with("/v1.")) target = target.substr(target.find('/', 1));
    const std::string path = target.substr(0, target.find('?'));
    const std::string request = fmt::format("{} {}", exchange.method(), path);
    seen.push_back(fmt::format("{} {}", exchange.method(), exchange.target()));
    if (const auto auth = exchange.headers().get("x-registry-auth")) auth_seen[target] = *auth;
    co_await exchange.read_body();
    const std::size_t number = seen.size();
    if (on_request) on_request(number);
    if (number == fail_at) {
      co_await exchange.respond(500, "application/json", error(500, "it does not work").body);
      co_return;
    }
    if (const auto fixed = answers.find(request); fixed != answers.end()) {
      co_await exchange.respond(fixed->second.status, "application/json", fixed->second.body);
      co_return;
    }
    if (path.starts_with("/containers/") && path != "/containers/create" && path != "/containers/json") {
      co_await of_container(exchange, target);
      co_return;
    }
    const Answer answer = general(exchange, request, target);
    const std::string_view type = answer.body == "OK" ? "text/plain" : "application/json";
    co_await exchange.respond(answer.status, type, answer.body);
  }

  static std::string query(std::string_view target, std::string_view name) {
    const auto start = target.find('?');
    if (start == std::string_view::npos) return {};
    for (const auto part : split(target.substr(start + 1), '&')) {
      if (part.starts_with(name) && part.substr(name.size()).starts_with('=')) {
        return json::rules::percent_decode(part.substr(name.size() + 1)).value();
      }
    }
    return {};
  }

  static Answer error(int status, std::string_view message) {
    return {status, json::write(json::object{{"message", message}})};
  }

  Answer general(net::Exchange& exchange, const std::string& request, const std::string& target) {
    if (request == "GET /version") return {200, json::write(version)};
    if (request == "GET /_ping") return {200, "OK"};
    if (request == "GET /info") {
      return {200, R"({"MemTotal":1024,"OperatingSystem":"test","Runtimes":{"runc":{},"nvidia":{}}})"};
    }
    if (request == "POST /images/create") {
      images.push_back(query(target, "fromImage") + ":" + query(target, "tag"));
      return {200, pull_body};
    }
    if (request.starts_with("GET /images/")) {
      const auto name = json::rules::percent_decode(request.substr(12, request.size() - 17)).value();
      if (std::ranges::find(images, name) != images.end()) return {200, "{}"};
      return error(404, "No such image: " + name);
    }
    if (request == "GET /containers/json") return {200, list(query(target, "filters"))};
    if (request == "POST /containers/create") {
      auto& made = add(query(target, "name"), "created", {});
      made.body = json::parse(exchange.body()).value().get_object();
      return {201, json::write(json::object{{"Id", made.id}, {"Warnings", nullptr}})};
    }
    return error(404, "page not found");
  }

  std::string list(const std::string& filters) {
    json::array out;
    const auto wanted = json::parse(filters).value().at("label").get_array();
    for (const auto& one : containers) {
      const auto& labels = one.body.at("Labels").get_object();
      const bool fits = std::ranges::all_of(wanted, [&labels](const json::value& filter) {
        const std::string_view text(filter.get_string());
        const auto name = text.substr(0, text.find('='));
        return labels.contains(name) &&
               (name.size() == text.size() || json::string_or(labels, name) == text.substr(name.size() + 1));
      });
      if (!fits) continue;
      out.push_back(json::object{
          {"Id", one.id}, {"Names", json::array{"/" + one.name}}, {"State", one.state}, {"Labels", labels}});
    }
    return json::write(out);
  }

  Task<void> of_container(net::Exchange& exchange, std::string target) {
    const auto slash = target.find('/', 12);
    const auto id = target.substr(12, std::min(slash, target.find('?')) - 12);
    const std::string rest = slash == std::string::npos ? "" : target.substr(slash, target.find('?') - slash);
    Container* container = find(id);
    if (!container) {
      co_await exchange.respond(404, "application/json", error(404, "No such container: " + id).body);
      co_return;
    }
    if (rest == "/wait") co_return co_await wait(exchange, id);
    if (rest == "/logs") co_return co_await logs(exchange, id);
    Answer answer{204, ""};
    if (rest.empty() && exchange.method() == "DELETE") {
      std::erase_if(containers, [&id](const Container& one) { return one.id == id; });
      wake();
    } else if (rest == "/json") {
      answer = {200, json::write(details(*container))};
    } else if (rest == "/start") {
      container->state = "running";
      container->port = 40'001;
    } else if (rest == "/stop" || rest == "/kill") {
      end(*container, rest == "/kill" ? 137 : 0);
    } else {
      answer = {200, R"({"memory_stats":{"usage":5000,"stats":{"inactive_file":1000}}})"};
    }
    co_await exchange.respond(answer.status, "application/json", answer.body);
  }

  static json::object details(const Container& one) {
    json::object ports;
    if (one.state == "running") {
      ports["8000/tcp"] = json::array{json::object{{"HostIp", "127.0.0.1"}, {"HostPort", std::to_string(one.port)}}};
    }
    return {{"Id", one.id},
            {"Name", "/" + one.name},
            {"State",
             {{"Running", one.state == "running"},
              {"ExitCode", one.exit_code},
              {"OOMKilled", one.out_of_memory},
              {"Pid", one.state == "running" ? 4711 : 0}}},
            {"Config", {{"Labels", one.body.at("Labels")}, {"Tty", false}}},
            {"NetworkSettings", {{"Ports", ports}}}};
  }

  Task<void> wait(net::Exchange& exchange, std::string id) {
    co_await exchange.begin_stream(200, "application/json");
    const int breaks = breaks_;
    while (true) {
      const Container* one = find(id);
      if (breaks != breaks_ || exchange.cancelled().cancelled()) co_return;
      if (!one || one->state != "running") {
        co_await exchange.end_stream(fmt::format(R"({{"StatusCode":{}}})", one ? one->exit_code : 0));
        co_return;
      }
      co_await changed(exchange);
    }
  }

  Task<void> logs(net::Exchange& exchange, std::string id) {
    const bool resumed = exchange.target().find("since=") != std::string_view::npos;
    co_await exchange.begin_stream(200, "application/vnd.docker.raw-stream");
    const int breaks = breaks_;
    std::size_t sent = resumed ? find(id)->log.size() : 0;
    while (true) {
      const Container* one = find(id);
      if (breaks != breaks_ || exchange.cancelled().cancelled()) co_return;
      if (one && sent < one->log.size()) {
        const std::string piece = one->log.substr(sent);
        sent = one->log.size();
        co_await exchange.write(piece);
        continue;
      }
      if (!one || one->state != "running") break;
      co_await changed(exchange);
    }
    co_await exchange.end_stream();
  }

  Loop& loop_;
  std::string path_;
  std::vector<Event*> waiters_;
  int breaks_ = 0;
  int ids_ = 0;
  int lines_ = 0;
  net::HttpServer server_;  // last: its connections use all of the above
};

}  // namespace llm::containers
