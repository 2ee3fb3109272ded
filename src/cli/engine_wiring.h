#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/loop.h"
#include "async/task_group.h"
#include "cli/installation.h"
#include "cli/settings.h"
#include "engines/gpu/gpu_inventory.h"
#include "engines/llama_server.h"
#include "engines/supervisor.h"
#include "engines/vllm/vllm_adapters.h"
#include "engines/vllm/vllm_driver.h"
#include "engines/vllm/vllm_metrics_scraper.h"
#include "net/http_client.h"
#include "observe/gateway_metrics.h"
#include "observe/log.h"
#include "router/catalogue.h"

namespace llm::cli {

// The engines as the settings have them: who starts them, on which GPUs, what vLLM has loaded and counts, what an
// earlier gateway left running. Everything on the control loop but the getters.
class EngineWiring {
 public:
  // `alone`: a process of its own beside the user's gateway, whose containers it leaves alone.
  EngineWiring(Loop& control, net::HttpClient& client, const Settings& settings, const Installation& installation,
               bool alone, const EnvLookup& env, observe::Log& log, observe::GatewayMetrics& metrics);
  EngineWiring(const EngineWiring&) = delete;
  EngineWiring& operator=(const EngineWiring&) = delete;

  engines::Supervisor& supervisor() { return *supervisor_; }
  const engines::VllmAdapters& adapters() const { return adapters_; }
  engines::GpuInventory& gpus() { return gpus_; }

  // Once the control loop runs: takes over or removes what was left running, starts what is to be there from the
  // beginning, begins to ask engines for their numbers. Any loop.
  void start(router::Catalogue& catalogue);
  // Before the supervisor's stop(). On the control loop.
  Task<void> stop();

 private:
  engines::DriverFactory driver_factory(engines::LlamaServerSettings llama);
  Result<engines::GpuChoice> choose_gpus(const engines::EngineSpec& spec) const;
  struct Running {
    std::vector<std::uint32_t> gpus;
    std::string hash;
  };
  using Wanted = std::map<std::string, std::vector<std::string>>;  // container engine -> hashes that may run there
  Task<std::optional<Running>> find_running(engines::EngineSpec spec);
  Task<std::optional<std::vector<std::uint32_t>>> running_on(engines::EngineSpec spec);
  Task<std::uint64_t> evict_others();
  Task<void> recover(router::Catalogue& catalogue);
  Task<void> adopt_running(std::shared_ptr<const engines::EngineSpec> spec, Wanted& wanted);
  Task<void> remove_orphans(std::string docker_host, std::vector<std::string> wanted);
  std::vector<std::pair<std::string, engines::EngineInfo>> vllm_engines() const;

  Loop& control_;
  net::HttpClient& client_;
  observe::Log& log_;
  std::map<std::string, engines::VllmSettings> vllm_;
  std::vector<engines::ProviderSettings> evictable_;  // providers whose idle models may be unloaded
  engines::GpuInventory gpus_;
  engines::VllmAdapters adapters_;
  engines::VllmDriverSettings drivers_;
  std::unique_ptr<engines::Supervisor> supervisor_;
  std::unique_ptr<engines::VllmScraper> scraper_;
  CancelSource stopping_;
  TaskGroup tasks_;
};

}  // namespace llm::cli
