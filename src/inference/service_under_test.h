#pragma once

#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <stdlib.h>
#include <string>
#include <vector>

#include "async/run_task.h"
#include "engines/llama_server.h"
#include "inference/local_model_api.h"
#include "net/http_server.h"
#include "observe/log_capture.h"

namespace llm::inference {

// For tests: an OpenAI-compatible server that does what a script says, on a Unix socket and the test's own loop.
class ScriptedUpstream {
 public:
  using Script = std::function<Task<void>(net::Exchange&, const json::object& body)>;
  struct Seen {
    std::string target;
    std::string authorization;
    std::string request_id;
    json::object body;
  };

  ScriptedUpstream(Loop& loop, const std::string& path)
      : loop_(loop),
        server_({&loop}, {}, [this](net::Exchange& exchange) { return handle(exchange); }),
        changed_(loop.executor()) {
    server_.accept_on(net::listen_unix(path).value());
  }

  Script script;
  std::vector<Seen> seen;  // in order, without health checks
  int cancelled = 0;       // exchanges whose client went away
  std::uint64_t sent = 0;  // bytes of endless()
  int health_status = 200;

  // Scripts.
  static Script answer(int status, std::string body) {
    return [status, body](net::Exchange& exchange, const json::object&) -> Task<void> {
      co_await exchange.respond(status, "application/json", body);
    };
  }
  // A stream of these bytes, piece by piece, with or without its proper end.
  static Script stream(std::vector<std::string> pieces, bool end = true) {
    return [pieces, end](net::Exchange& exchange, const json::object&) -> Task<void> {
      co_await exchange.begin_stream(200, "text/event-stream");
      for (const auto& piece : pieces) co_await exchange.write(piece);
      if (end) co_await exchange.end_stream();
    };
  }
  // Answers nothing until the client goes.
  Script silence() {
    return [this](net::Exchange& exchange, const json::object&) -> Task<void> { co_await wait(exchange); };
  }
  // A first event, then nothing until the client goes.
  Script stall(std::string first) {
    return [this, first](net::Exchange& exchange, const json::object&) -> Task<void> {
      co_await exchange.begin_stream(200, "text/event-stream");
      co_await exchange.write(first);
      co_await wait(exchange);
    };
  }
  // Events without end, as fast as they are taken.
  Script endless(std::string event) {
    return [this, event](net::Exchange& exchange, const json::object&) -> Task<void> {
      co_await exchange.begin_stream(200, "text/event-stream");
      while (co_await exchange.write(event)) {
        sent += event.size();
        co_await boost::asio::post(loop_.executor(), use_task);
      }
      ++cancelled;
      changed_.notify();
    };
  }

  Task<void> until_cancelled(int count) {
    while (cancelled < count) co_await changed_.wait();
  }
  Task<void> until_seen(std::size_t count) {
    while (seen.size() < count) co_await changed_.wait();
  }
  Task<void> stop() {
    server_.stop_accepting();
    server_.cancel();
    co_await server_.drained();
  }

 private:
  Task<void> handle(net::Exchange& exchange) {
    if (exchange.target().ends_with("/models")) {
      co_await exchange.respond(health_status, "application/json", "{}");
      co_return;
    }
    if (exchange.method() == "GET") {  // a look at what it is
      co_await exchange.respond(404, "application/json", "{}");
      co_return;
    }
    (void)co_await exchange.read_body();
    auto body = json::parse(exchange.body());
    seen.push_back({std::string(exchange.target()), std::string(exchange.headers().get("authorization").value_or("")),
                    std::string(exchange.headers().get("x-request-id").value_or("")),
                    body && body->is_object() ? body->get_object() : json::object()});
    changed_.notify();
    const json::object sent_body = seen.back().body;
    co_await script(exchange, sent_body);
  }
  Task<void> wait(net::Exchange& exchange) {
    Event woken(loop_.executor());
    const auto registration = exchange.cancelled().on_cancel([&] { woken.notify(); });
    while (!exchange.cancelled().cancelled()) co_await woken.wait();
    ++cancelled;
    changed_.notify();
  }

  Loop& loop_;
  net::HttpServer server_;
  Event changed_;
};

inline std::string sse(std::string_view payload) {
  return "data: " + std::string(payload) + "\n\n";
}

// Keeps what it is told, or refuses it.
class KeepingSink final : public Sink {
 public:
  Task<Result<void>> on_loading(std::string_view, const engines::LoadProgress& progress) override {
    loading.push_back(progress.phase);
    co_return Result<void>();
  }
  Task<Result<void>> on_events(std::span<const std::string_view> events) override {
    for (const auto event : events) payloads.emplace_back(event);
    if (gate) co_await gate->wait();
    if (fail_after > 0 && payloads.size() >= fail_after) co_return fail(ErrorCode::kUnavailable, "the sink is full");
    co_return Result<void>();
  }

  std::vector<std::string> loading;
  std::vector<std::string> payloads;
  std::size_t fail_after = 0;
  Event* gate = nullptr;
};

// The service and what is around it, with "m" and "up/<anything>" served by the scripted upstream.
class ServiceUnderTest {
 public:
  struct Options {
    ServiceSettings service;
    AdmissionSettings admission;
    std::string api_key;
    router::RoutingSettings routing = {};
    AnswerCacheSettings cache = {};
    std::size_t replicas = 0;  // further upstreams, r0, r1, …, each serving "x" (as "r0/x", …)
    std::function<void(engines::ProviderSettings&)> change_replica = {};
  };

  ServiceUnderTest() : ServiceUnderTest(Options{}) {}
  explicit ServiceUnderTest(Options options)
      : metrics("test"),
        dir(make_dir()),
        upstream(loop, (dir / "up.sock").string()),
        client(loop, net::ClientSettings{}),
        store(models::ModelStore::open({.root = dir / "models"}).value()),
        pool(1),
        waiters(1),
        pulls(*store, {}),
        catalogue(*store, pool, catalogue_settings(options)),
        supervisor(
            loop, {.restart_backoff = std::chrono::milliseconds(1)},
            [this](const engines::EngineSpec& spec) { return engines::make_external_engine(client, spec); }, log.log(),
            metrics),
        router(catalogue, options.routing),
        cache(options.cache, metrics),
        admission(options.admission),
        service(options.service, admission, router, supervisor, log.log(), metrics, nullptr, &cache),
        backend{.service = service,
                .catalogue = catalogue,
                .supervisor = supervisor,
                .store = *store,
                .pulls = pulls,
                .files = pool,
                .pull_waiters = waiters,
                .log = log.log(),
                .metrics = metrics,
                .router = &router,
                .cache = &cache} {
    service.add_loop(loop, client);
    for (std::size_t i = 0; i < options.replicas; ++i) {
      replicas.push_back(std::make_unique<ScriptedUpstream>(loop, replica_socket(i)));
    }
  }
  ~ServiceUnderTest() {
    std::error_code ignored;
    std::filesystem::remove_all(dir, ignored);
  }

  void run(Task<void> task) { run_task(loop, run_and_stop(std::move(task))); }
  // Lets everything go on that waits for nothing but its turn.
  Task<void> settle() {
    for (int i = 0; i < 200; ++i) co_await boost::asio::post(loop.executor(), use_task);
  }

  static json::object object(std::string_view text) { return json::parse(text).value().as_object(); }
  static Request chat(std::string_view body = R"({"model":"m","messages":[{"role":"user","content":"hi"}]})",
                      bool stream = false) {
    Request request;
    request.body = object(body);
    request.stream = stream;
    request.request_id = "req_1";
    return request;
  }
  Task<Result<Outcome>> ask(Request request, Sink* sink = nullptr, CancelToken cancel = {}) {
    return service.run(std::move(request), sink, loop, std::move(cancel));
  }

  Loop loop{"test"};
  observe::LogCapture log;
  observe::GatewayMetrics metrics;
  std::filesystem::path dir;
  ScriptedUpstream upstream;
  std::vector<std::unique_ptr<ScriptedUpstream>> replicas;
  net::HttpClient client;
  std::unique_ptr<models::ModelStore> store;
  BlockingPool pool;
  BlockingPool waiters;
  models::PullJobs pulls;
  router::Catalogue catalogue;
  engines::Supervisor supervisor;
  router::Router router;
  AnswerCache cache;
  Admission admission;
  Service service;
  Backend backend;

 private:
  std::string replica_socket(std::size_t number) const { return (dir / ("r" + std::to_string(number))).string(); }
  static std::filesystem::path make_dir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "llm-service-XXXXXX").string();
    return ::mkdtemp(pattern.data());
  }
  router::CatalogueSettings catalogue_settings(const Options& options) const {
    engines::ProviderSettings external;
    external.base_url = "unix:" + (dir / "up.sock").string() + ":/v1";
    external.api_key = options.api_key;
    external.models = {"m"};
    router::CatalogueSettings settings;
    settings.external.emplace("up", external);
    for (std::size_t i = 0; i < options.replicas; ++i) {
      engines::ProviderSettings replica;
      replica.base_url = "unix:" + replica_socket(i) + ":/v1";
      if (options.change_replica) options.change_replica(replica);
      settings.external.emplace("r" + std::to_string(i), replica);
    }
    return settings;
  }
  Task<void> run_and_stop(Task<void> task) {
    co_await std::move(task);
    co_await service.stop_shadows(loop);
    co_await upstream.stop();
    for (auto& replica : replicas) co_await replica->stop();
    co_await supervisor.stop();
  }
};

}  // namespace llm::inference
