#pragma once

#include <memory>
#include <string>
#include <vector>

#include "access/access_system.h"
#include "access/host_policy.h"
#include "api/pipeline.h"
#include "async/blocking_pool.h"
#include "async/loop.h"
#include "cli/engine_wiring.h"
#include "cli/installation.h"
#include "cli/mcp_service.h"
#include "cli/settings.h"
#include "inference/local_model_api.h"
#include "mcp/http/endpoint.h"
#include "models/pull_jobs.h"
#include "models/store.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "observe/gateway_metrics.h"
#include "observe/health.h"
#include "observe/log.h"

namespace llm::cli {

// Every object of the gateway, in the order in which they depend on each other; destroyed in reverse. The one place
// that reads the configuration. The control loop is run by the caller (on a thread that lives as long as the engines
// must: they die with it), the I/O loops run on threads of their own.
class Gateway {
 public:
  // `access` may be null: then there are no clients but the owner of this process. It outlives the gateway. Creates the
  // model store's folders. Errors: folders that cannot be had, an engine setting that does not hold.
  static Result<std::unique_ptr<Gateway>> build(const Settings& settings, const Installation& installation,
                                                access::AccessSystem* access, observe::Log& log,
                                                const EnvLookup& env = process_environment());
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // Listening descriptors (net/address.h); taken over. Before start(). `tls` null: plain.
  void accept_on(int listening_fd, std::shared_ptr<net::TlsServer> tls = nullptr) {
    server_->accept_on(listening_fd, std::move(tls));
  }
  void start();

  // Two-phase stop: no new connections, running requests get `drain`, then everything ends, engines last. On the
  // control loop. `hurry`: a second signal ends the patience.
  Task<void> stop(std::chrono::milliseconds drain, CancelToken hurry);

  // Nothing connected and nothing at work?
  bool idle() const;

  Loop& control() { return *control_; }
  Loop& io_loop() { return *io_loops_.front(); }
  inference::Backend& backend() { return *backend_; }
  observe::Health& health() { return health_; }

 private:
  Gateway(access::AccessSystem* access, observe::Log& log);
  Result<void> make(const Settings& settings, const Installation& installation, const EnvLookup& env);
  Result<void> make_mcp(const Settings& settings, const Installation& installation, const EnvLookup& env,
                        const std::vector<Loop*>& loops);
  std::vector<api::Route> mcp_routes() const;
  observe::HealthCheckResult check_access() const;
  Task<void> stop_mcp();
  Task<bool> wait_drained(std::chrono::milliseconds limit, CancelToken hurry);

  access::AccessSystem* access_;
  observe::Log& log_;
  observe::GatewayMetrics metrics_;
  observe::Health health_;
  std::unique_ptr<Loop> control_;
  std::vector<std::unique_ptr<Loop>> io_loops_;
  std::unique_ptr<net::HttpClient> control_client_;
  std::vector<std::unique_ptr<net::HttpClient>> io_clients_;
  std::unique_ptr<models::ModelStore> store_;
  std::unique_ptr<models::PullJobs> pulls_;
  std::unique_ptr<EngineWiring> engines_;
  std::unique_ptr<BlockingPool> files_;
  std::unique_ptr<BlockingPool> pull_waiters_;
  std::unique_ptr<router::Catalogue> catalogue_;
  std::unique_ptr<router::Router> router_;
  std::unique_ptr<router::HealthChecks> health_checks_;  // of replicas
  std::unique_ptr<inference::AnswerCache> cache_;
  std::unique_ptr<inference::Admission> admission_;
  std::unique_ptr<inference::Service> service_;
  std::unique_ptr<inference::Backend> backend_;
  std::unique_ptr<access::HostPolicy> hosts_;
  std::unique_ptr<McpService> mcp_;
  std::unique_ptr<mcp::HttpEndpoint> mcp_http_;
  std::unique_ptr<api::Services> services_;
  std::unique_ptr<api::Pipeline> pipeline_;
  std::unique_ptr<net::HttpServer> server_;
};

}  // namespace llm::cli
