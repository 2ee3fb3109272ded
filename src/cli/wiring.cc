#include "cli/wiring.h"

#include <algorithm>
#include <fmt/format.h>
#include <thread>

#include "access/identity.h"
#include "api/public_url.h"
#include "api/routes.h"
#include "async/watch.h"
#include "cli/pull_settings.h"
#include "mcp/http/server_card.h"
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

}  // namespace

Gateway::Gateway(access::AccessSystem* access, observe::Log& log)
    : access_(access), log_(log), metrics_(LLM_MCP_VERSION) {}

Gateway::~Gateway() {
  for (auto& loop : io_loops_) {
    loop->stop();
    loop->join();
  }
}

Result<std::unique_ptr<Gateway>> Gateway::build(const Settings& settings, const Installation& installation,
                                                access::AccessSystem* access, observe::Log& log, const EnvLookup& env) {
  std::unique_ptr<Gateway> gateway(new Gateway(access, log));
  if (auto made = gateway->make(settings, installation, env); !made) return fail(made.error());
  return gateway;
}

Result<void> Gateway::make(const Settings& settings, const Installation& installation, const EnvLookup& env) {
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
  pulls_ = std::make_unique<models::PullJobs>(*store_, pull_settings(settings.models));
  engines_ = std::make_unique<EngineWiring>(*control_, *control_client_, settings, installation, access_ == nullptr,
                                            env, log_, metrics_);
  files_ = std::make_unique<BlockingPool>(2);
  pull_waiters_ = std::make_unique<BlockingPool>(8);
  catalogue_ =
      std::make_unique<router::Catalogue>(*store_, *files_,
                                          router::CatalogueSettings{.default_model = settings.models.default_model,
                                                                    .models = settings.models.settings,
                                                                    .external = enabled_providers(settings),
                                                                    .vllm = settings.engines.vllm,
                                                                    .adapters = &engines_->adapters()});
  router_ = std::make_unique<router::Router>(*catalogue_, settings.routing, &metrics_);
  health_checks_ = std::make_unique<router::HealthChecks>(settings.routing.health, *control_, *control_client_, log_,
                                                          [this] { return router_->known(); });
  cache_ = std::make_unique<inference::AnswerCache>(settings.cache, metrics_);
  admission_ = std::make_unique<inference::Admission>(
      inference::AdmissionSettings{.max_concurrent = settings.inference.max_concurrent,
                                   .queue_limit = settings.inference.queue_limit,
                                   .queue_timeout = ms(settings.inference.queue_timeout)});
  service_ = std::make_unique<inference::Service>(
      inference::ServiceSettings{.load_timeout = ms(settings.models.load_timeout),
                                 .engine_queue_limit = settings.inference.max_concurrent,
                                 .engine_queue_timeout = ms(settings.models.load_timeout),
                                 .log_prompts = settings.observe.log_prompts},
      *admission_, *router_, engines_->supervisor(), log_, metrics_, access_ ? &access_->control() : nullptr,
      cache_.get());
  for (std::size_t i = 0; i < loops.size(); ++i) {
    service_->add_loop(*loops[i], *io_clients_[i]);
    if (access_) access_->add_loop(*loops[i], *io_clients_[i]);
  }
  backend_ = std::make_unique<inference::Backend>(inference::Backend{.service = *service_,
                                                                     .catalogue = *catalogue_,
                                                                     .supervisor = engines_->supervisor(),
                                                                     .store = *store_,
                                                                     .pulls = *pulls_,
                                                                     .files = *files_,
                                                                     .pull_waiters = *pull_waiters_,
                                                                     .log = log_,
                                                                     .metrics = metrics_,
                                                                     .access = access_ ? &access_->control() : nullptr,
                                                                     .router = router_.get(),
                                                                     .cache = cache_.get(),
                                                                     .gpus = &engines_->gpus(),
                                                                     .load_timeout = ms(settings.models.load_timeout)});
  std::vector<std::string> authorization_servers;
  for (const auto& [name, issuer] : settings.access.issuers) authorization_servers.push_back(issuer.issuer);
  hosts_ = std::make_unique<access::HostPolicy>(settings.server.allowed_hosts, settings.server.allowed_origins);
  const auto& limits = settings.server.limits;
  services_ = std::make_unique<api::Services>(
      api::Services{.backend = *backend_,
                    .hosts = *hosts_,
                    .access = access_ ? &access_->control() : nullptr,
                    .health = health_,
                    .log = log_,
                    .metrics = metrics_,
                    .websocket = {.limits = {.max_message_bytes = limits.websocket_message_bytes.bytes},
                                  .queue_bytes = limits.stream_queue_bytes.bytes,
                                  .write_timeout = ms(limits.write_timeout)},
                    .serve_metrics = settings.observe.metrics,
                    .default_model = settings.models.default_model,
                    .public_url = settings.server.public_url,
                    .authorization_servers = std::move(authorization_servers)});
  if (auto made = make_mcp(settings, installation, env, loops); !made) return made;
  pipeline_ = std::make_unique<api::Pipeline>(*services_, api::make_routes(mcp_routes()));
  server_ = std::make_unique<net::HttpServer>(loops, server_settings(limits),
                                              [this](net::Exchange& exchange) { return pipeline_->handle(exchange); });
  // Anybody can cause these, so they are for who looks for them.
  server_->on_handshake_failed([this](const net::Peer& peer, const Error& error) {
    log_.debug("TLS handshake failed", {{"address", peer.address}, {"problem", error.message}});
  });
  return {};
}

namespace {

// What a task's principal may do when no request of it says so.
std::optional<access::Principal> principal_now(access::AccessControl& access, const access::Principal& known) {
  if (known.id == access::Principal().id) return access::Principal();
  if (known.identity) return access.authenticator.still_valid(known) ? std::optional(known) : std::nullopt;
  auto identity = access.directory.identity(known.id, access.now_ms());
  if (!identity) return std::nullopt;
  return access::Principal{.id = known.id, .identity = std::move(identity)};
}

McpAccess mcp_access(access::AccessSystem* system) {
  if (system == nullptr) return {};
  const auto secret = system->secret().derive(access::KeyPurpose::kRequestState);
  return {.state_secret = std::string(secret.begin(), secret.end()),
          .principal_now = [&access = system->control()](const access::Principal& known) {
            return principal_now(access, known);
          }};
}

void add_access(mcp::HttpSettings& settings, access::AccessControl& access, const api::Services& services) {
  settings.still_valid = [&access](const access::Principal& principal) {
    return access.authenticator.still_valid(principal);
  };
  settings.resource_metadata = [&services](const net::Exchange& exchange) {
    return api::public_origin(services, exchange) + "/.well-known/oauth-protected-resource/mcp";
  };
  settings.on_denied = [&access](const net::Exchange& exchange, const access::Principal& who, access::Permission needed,
                                 const std::string& target) {
    access.audit.record({.request_id = exchange.request_id,
                         .principal = who.id,
                         .project = std::string(who.project()),
                         .user = who.identity ? who.identity->user : std::string(),
                         .address = who.address,
                         .action = "access.denied",
                         .target = "mcp " + target,
                         .outcome = std::string(describe(ErrorCode::kPermissionDenied).name),
                         .message = fmt::format("needs {}", to_string(needed))});
  };
}

}  // namespace

Result<void> Gateway::make_mcp(const Settings& settings, const Installation& installation, const EnvLookup& env,
                               const std::vector<Loop*>& loops) {
  auto service = McpService::build(
      settings.mcp, tools::local_model_apis(*backend_),
      tools::hub_query({.hub_endpoint = settings.models.hub_endpoint, .hub_token = settings.models.hub_token}),
      *loops.front(), installation.data_dir / "tasks", env, log_, mcp_access(access_));
  if (!service) return fail(service.error());
  mcp_ = std::move(*service);
  mcp::HttpSettings http{.max_queued_bytes = settings.server.limits.stream_queue_bytes.bytes,
                         .max_sessions = settings.mcp.http.max_sessions,
                         .session_idle = ms(settings.mcp.http.session_timeout),
                         // Checked for every route already, by the configured names.
                         .allowed_from = [](auto, auto) { return true; }};
  if (access_) add_access(http, access_->control(), *services_);
  mcp_http_ = std::make_unique<mcp::HttpEndpoint>(mcp_->server(), std::move(http), loops);
  return {};
}

namespace {

Task<Result<void>> handle_mcp(mcp::HttpEndpoint* endpoint, api::Call& call) {
  co_await endpoint->handle(call.exchange, call.principal);
  co_return Result<void>();
}

// As the client names us: it may have come through a proxy.
mcp::Publisher publisher(const api::Call& call) {
  return {.base_url = api::public_origin(call)};
}

Task<Result<void>> answer_card(const mcp::Server* server, api::Call& call) {
  co_return co_await call.exchange.respond(200, mcp::kServerCardType, mcp::server_card(*server, publisher(call)));
}

Task<Result<void>> answer_catalog(const mcp::Server* server, api::Call& call) {
  co_return co_await call.exchange.respond(200, mcp::kCatalogType, mcp::ai_catalog(*server, publisher(call)));
}

}  // namespace

std::vector<api::Route> Gateway::mcp_routes() const {
  const auto mcp = [endpoint = mcp_http_.get()](api::Call& call) { return handle_mcp(endpoint, call); };
  const auto card = [server = &mcp_->server()](api::Call& call) { return answer_card(server, call); };
  const auto catalog = [server = &mcp_->server()](api::Call& call) { return answer_catalog(server, call); };
  return {
      {"POST", "/mcp", access::Permission::kAuthenticated, api::Body::kNone, mcp,
       "Model Context Protocol (Streamable HTTP)."},
      {"GET", "/mcp", access::Permission::kAuthenticated, api::Body::kNone, mcp, "MCP: the event stream of a session."},
      {"DELETE", "/mcp", access::Permission::kAuthenticated, api::Body::kNone, mcp, "MCP: ends a session."},
      {"GET", "/mcp/server-card", access::Permission::kPublic, api::Body::kNone, card, "MCP: who this server is."},
      {"GET", "/.well-known/ai-catalog.json", access::Permission::kPublic, api::Body::kNone, catalog,
       "Which MCP servers there are."},
  };
}

observe::HealthCheckResult Gateway::check_access() const {
  const auto ready = access_->readiness();
  if (ready) return {};
  // Known keys go on working, so requests may still come.
  return {.state = observe::HealthState::kDegraded,
          .why = "the database or the audit trail cannot be written; see the log"};
}

void Gateway::start() {
  if (access_) health_.add("access", [this] { return check_access(); });
  for (auto& loop : io_loops_) loop->start();
  mcp_->start();
  engines_->start(*catalogue_);
  control_->post([this] { health_checks_->start(); });
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

namespace {

// Runs `work` on another loop, while we wait on this one.
Task<void> on_loop(Loop& loop, std::function<Task<void>()> work) {
  const auto ended = std::make_shared<Watch<bool>>(false);
  TaskGroup running(loop.executor());
  loop.post([&running, &work, ended] {
    running.spawn([](const std::function<Task<void>()>* todo, std::shared_ptr<Watch<bool>> done) -> Task<void> {
      co_await (*todo)();
      done->set(true);
    }(&work, ended));
  });
  for (auto seen = ended->get(); !seen.value; seen = ended->get()) {
    co_await ended->changed(seen.version, {}, std::nullopt);
  }
}

}  // namespace

Task<void> Gateway::stop_mcp() {
  co_await mcp_http_->drained();
  co_await mcp_->stop();
}

Task<void> Gateway::stop(std::chrono::milliseconds drain, CancelToken hurry) {
  health_.draining();
  server_->stop_accepting();
  if (!co_await wait_drained(drain, hurry)) {
    log_.warn("drain time is over, requests are cut", {{"connections", server_->connections()}});
    server_->cancel();
  }
  mcp_http_->stop();
  pulls_->stop();
  // What was cut ends in a moment; engines go after their clients, so that nobody sees a crash that is none.
  co_await wait_drained(std::chrono::milliseconds(3'000), {});
  co_await on_loop(*io_loops_.front(), [this] { return stop_mcp(); });
  for (auto& loop : io_loops_) co_await on_loop(*loop, [this, &loop] { return service_->stop_shadows(*loop); });
  co_await health_checks_->stop();
  co_await engines_->stop();
  co_await engines_->supervisor().stop();
  for (auto& loop : io_loops_) loop->stop();
  control_->stop();
}

}  // namespace llm::cli
