#pragma once

#include <gtest/gtest.h>
#include <map>
#include <string>
#include <vector>

#include "async/run_task.h"
#include "engines/vllm/vllm_driver.h"
#include "net/http_client.h"
#include "net/http_server.h"

namespace llm::engines {

// For tests: the HTTP of a vLLM server, as a table of answers, on the test's own loop.
class ScriptedVllm {
 public:
  struct Answer {
    int status = 200;
    std::string body = {};
  };

  explicit ScriptedVllm(Loop& loop)
      : server_({&loop}, {}, [this](net::Exchange& exchange) { return handle(exchange); }) {
    const int fd = net::listen_tcp("127.0.0.1", 0).value();
    endpoint = {.host = "127.0.0.1", .port = net::local_port(fd)};
    server_.accept_on(fd);
    answers["/health"] = {};
    answers["/version"] = {200, R"({"version":"0.10.1"})"};
    answers["/v1/models"] = {200, R"({"data":[{"id":"big","root":"acme/big","parent":null,"max_model_len":4096}]})"};
    answers["/v1/completions"] = {200, R"({"choices":[{"text":"x"}],"usage":{}})"};
    list({"/health", "/version", "/v1/models", "/v1/completions", "/v1/chat/completions", "/tokenize"});
  }

  // What /openapi.json says there is.
  void list(const std::vector<std::string>& paths) {
    json::object listed;
    for (const auto& path : paths) listed[path] = json::object{};
    answers["/openapi.json"] = {200, json::write(json::object{{"openapi", "3.1.0"}, {"paths", std::move(listed)}})};
  }

  Task<void> stop() {
    server_.stop_accepting();
    server_.cancel();
    co_await server_.drained();
  }

  net::Endpoint endpoint;
  std::map<std::string, Answer> answers;                                       // by target, with its query
  std::map<std::string, std::function<Answer(const std::string& body)>> acts;  // that come first
  std::vector<std::string> posts;                                              // targets, in order
  std::string authorization;                                                   // of the last request under /v1

 private:
  Task<void> handle(net::Exchange& exchange) {
    (void)co_await exchange.read_body();
    const std::string target(exchange.target());
    if (exchange.method() == "POST") posts.push_back(target);
    if (target.starts_with("/v1")) authorization = exchange.headers().get("authorization").value_or("");
    Answer answer{404, R"({"detail":"Not Found"})"};
    if (const auto act = acts.find(target); act != acts.end()) {
      answer = act->second(exchange.body());
    } else if (const auto found = answers.find(target); found != answers.end()) {
      answer = found->second;
    }
    co_await exchange.respond(answer.status, "application/json", answer.body);
  }

  net::HttpServer server_;
};

// What a launcher was told, and the way to make it speak.
struct Launches {
  LaunchPlan plan;
  Launcher::Events events;
  std::function<void()> on_launch;  // as soon as it is "running"
  Result<Launcher::Launched> outcome = Launcher::Launched{};
  std::vector<std::string> log;
  int stops = 0;
  bool kept = false;
};

class ScriptedLauncher final : public Launcher {
 public:
  explicit ScriptedLauncher(Launches& launches) : told_(launches) {}
  Task<Result<Launched>> launch(LaunchPlan plan, Events events, CancelToken) override {
    told_.plan = std::move(plan);
    told_.events = std::move(events);
    for (const auto& line : told_.log) told_.events.on_line(line);
    if (told_.on_launch) told_.on_launch();
    if (told_.outcome && told_.outcome->api_key.empty()) told_.outcome->api_key = told_.plan.api_key;
    co_return told_.outcome;
  }
  Task<void> stop(Ending ending) override {
    ++told_.stops;
    told_.kept = ending == Ending::kKeep;
    co_return;
  }
  std::uint64_t memory_bytes() const override { return 1234; }

 private:
  Launches& told_;
};

}  // namespace llm::engines
