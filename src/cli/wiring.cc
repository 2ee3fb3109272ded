#include "cli/wiring.h"

#include <algorithm>
#include <fmt/format.h>
#include <thread>

#include "api/routes.h"
#include "async/watch.h"
#include "engines/llama_server.h"
#include "net/dead_sockets.h"

namespace llm::cli {
namespace {

std::chrono::milliseconds ms(json::Duration duration) {
  return std::chrono::milliseconds(duration.ms);
}

// One loop saturates a core at about 100,000 small requests a second, and the engines want the cores.
std::size_t io_threads(const ServerSettings& settings) {
  if (settings.io_threads > 0) return settings.io_threads;
  return std::clamp<std::size_t>(std::thread::hardware_concurrency() / 4, 1, 4);
}

net::ServerSettings server_settings(const LimitSettings& limits) {
  return {.message = {.max_header_bytes = limits.max_header_bytes.bytes,
                      .max_header_count = limits.max_header_count,
                      .max_body_bytes = limits.max_body_bytes.bytes},
          .max_connections = limits.max_connections,
          .header_timeout = ms(limits.header_timeout),
          .body_timeout = ms(limits.body_timeout),
          .idle_timeout = ms(limits.idle_timeout),
          .write_timeout = ms(limits.write_timeout)};
}

engines::DriverFactory driver_factory(Loop& control, net::HttpClient& client, engines::LlamaServerSettings settings) {
  return [&control, &client, settings = std::move(settings)](const engines::EngineSpec& spec) {
    return spec.external ? engines::make_external_engine(client, spec)
                         : engines::make_llama_server(control, client, settings, spec);
  };
}

}  // namespace

Gateway::Gateway(observe::Log& log) : log_(log), metrics_(LLM_MCP_VERSION) {}

Gateway::~Gateway() {
  for (auto& loop : io_loops_) {
    loop->stop();
    loop->join();
  }
}

Result<std::unique_ptr<Gateway>> Gateway::build(const Settings& settings, const Installation& installation,
                                                observe::Log& log) {
  std::unique_ptr<Gateway> gateway(new Gateway(log));
  if (auto made = gateway->make(settings, installation); !made) return fail(made.error());
  return gateway;
}

Result<void> Gateway::make(const Settings& settings, const Installation& installation) {
  if (auto private_dir = ensure_private_dir(installation.runtime_dir); !private_dir) return private_dir;
  net::remove_dead_sockets(installation.runtime_dir);  // of a gateway that was killed
  control_ = std::make_unique<Loop>("control");
  std::vector<Loop*> loops;
  for (std::size_t i = 0; i < io_threads(settings.server); ++i) {
    io_loops_.push_back(std::make_unique<Loop>(fmt::format("io-{}", i)));
    loops.push_back(io_loops_.back().get());
    io_clients_.push_back(std::make_unique<net::HttpClient>(*io_loops_.back(), net::ClientSettings{}));
  }
  control_client_ = std::make_unique<net::HttpClient>(*control_, net::ClientSettings{});
  auto store = models::ModelStore::open({.root = installation.models_dir});
  if (!store) return fail(store.error());
  store_ = std::move(*store);
  pulls_ = std::make_unique<models::PullJobs>(
      *store_,
      models::PullSettings{.hub_endpoint = settings.models.hub_endpoint, .hub_token = settings.models.hub_token});
  supervisor_ = std::make_unique<engines::Supervisor>(
      *control_,
      engines::SupervisorSettings{.keep_alive = settings.models.keep_alive,
                                  .memory_limit = settings.engines.memory_limit.bytes,
                                  .max_restarts = settings.engines.max_restarts,
                                  .restart_backoff = ms(settings.engines.restart_backoff)},
      driver_factory(*control_, *control_client_,
                     {.program = find_engine(program_path().parent_path(), settings),
                      .socket_dir = installation.runtime_dir,
                      .start_timeout = ms(settings.engines.start_timeout),
                      .probe_timeout = ms(settings.engines.probe_timeout)}),
      log_, metrics_);
  files_ = std::make_unique<BlockingPool>(2);
  pull_waiters_ = std::make_unique<BlockingPool>(8);
  catalogue_ =
      std::make_unique<router::Catalogue>(*store_, *files_,
                                          router::CatalogueSettings{.default_model = settings.models.default_model,
                                                                    .models = settings.models.settings,
                                                                    .external = settings.engines.external});
  admission_ = std::make_unique<inference::Admission>(
      inference::AdmissionSettings{.max_concurrent = settings.inference.max_concurrent,
                                   .queue_limit = settings.inference.queue_limit,
                                   .queue_timeout = ms(settings.inference.queue_timeout)});
  service_ = std::make_unique<inference::Service>(
      inference::ServiceSettings{.load_timeout = ms(settings.models.load_timeout),
                                 .engine_queue_limit = settings.inference.max_concurrent,
                                 .engine_queue_timeout = ms(settings.models.load_timeout),
                                 .log_prompts = settings.observe.log_prompts},
      *admission_, *catalogue_, *supervisor_, log_, metrics_);
  for (std::size_t i = 0; i < loops.size(); ++i) service_->add_loop(*loops[i], *io_clients_[i]);
  backend_ = std::make_unique<inference::Backend>(inference::Backend{.service = *service_,
                                                                     .catalogue = *catalogue_,
                                                                     .supervisor = *supervisor_,
                                                                     .store = *store_,
                                                                     .pulls = *pulls_,
                                                                     .files = *files_,
                                                                     .pull_waiters = *pull_waiters_,
                                                                     .log = log_,
                                                                     .metrics = metrics_,
                                                                     .load_timeout = ms(settings.models.load_timeout)});
  hosts_ = std::make_unique<access::HostPolicy>(settings.server.allowed_hosts, settings.server.allowed_origins);
  const auto& limits = settings.server.limits;
  services_ = std::make_unique<api::Services>(
      api::Services{.backend = *backend_,
                    .hosts = *hosts_,
                    .health = health_,
                    .log = log_,
                    .metrics = metrics_,
                    .websocket = {.limits = {.max_message_bytes = limits.websocket_message_bytes.bytes},
                                  .queue_bytes = limits.stream_queue_bytes.bytes,
                                  .write_timeout = ms(limits.write_timeout)},
                    .serve_metrics = settings.observe.metrics,
                    .default_model = settings.models.default_model});
  pipeline_ = std::make_unique<api::Pipeline>(*services_, api::make_routes());
  server_ = std::make_unique<net::HttpServer>(loops, server_settings(limits),
                                              [this](net::Exchange& exchange) { return pipeline_->handle(exchange); });
  return {};
}

void Gateway::start() {
  for (auto& loop : io_loops_) loop->start();
  health_.started();
}

bool Gateway::idle() const {
  return server_->connections() == 0 && service_->in_flight() == 0 && pulls_->running().empty();
}

Task<bool> Gateway::wait_drained(std::chrono::milliseconds limit, CancelToken hurry) {
  const auto end = std::chrono::steady_clock::now() + limit;
  Watch<int> never;
  while (server_->connections() > 0) {
    if (hurry.cancelled() || std::chrono::steady_clock::now() >= end) co_return false;
    co_await never.changed(1, hurry, std::chrono::milliseconds(10));
  }
  co_return true;
}

Task<void> Gateway::stop(std::chrono::milliseconds drain, CancelToken hurry) {
  health_.draining();
  server_->stop_accepting();
  if (!co_await wait_drained(drain, hurry)) {
    log_.warn("drain time is over, requests are cut", {{"connections", server_->connections()}});
    server_->cancel();
  }
  pulls_->stop();
  // What was cut ends in a moment; engines go after their clients, so that nobody sees a crash that is none.
  co_await wait_drained(std::chrono::milliseconds(3'000), {});
  co_await supervisor_->stop();
  for (auto& loop : io_loops_) loop->stop();
  control_->stop();
}

}  // namespace llm::cli
