#include "cli/engine_wiring.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/strings.h"
#include "containers/docker_client.h"
#include "engines/providers/ollama.h"
#include "engines/vllm/container_launcher.h"
#include "engines/vllm/plan.h"
#include "models/digest.h"

namespace llm::cli {
namespace {

constexpr std::chrono::milliseconds kDaemonPatience{5'000};

std::chrono::milliseconds ms(json::Duration duration) {
  return std::chrono::milliseconds(duration.ms);
}

// Which gateway a container belongs to: one data directory, one gateway.
std::string gateway_id(const Installation& installation, bool alone) {
  models::Sha256 hash;
  hash.update(installation.data_dir.string() + (alone ? "\nstandalone" : ""));
  return hash.finish().hex().substr(0, 16);
}

std::string engine_name(const engines::EngineSpec& spec) {
  return spec.replica == 0 ? spec.name : fmt::format("{}#{}", spec.name, spec.replica);
}

// Cancels after a time, whatever the work makes of it.
class TimeLimit {
 public:
  TimeLimit(Loop& loop, std::chrono::milliseconds most, const CancelToken& follow)
      : follow_(follow.on_cancel([this] { source_.cancel(); })) {
    loop.wheel().arm(deadline_, most);
  }
  CancelToken token() const { return source_.token(); }

 private:
  CancelSource source_;
  CancelRegistration follow_;
  Deadline deadline_{[this] { source_.cancel(); }};
};

}  // namespace

EngineWiring::EngineWiring(Loop& control, net::HttpClient& client, const Settings& settings,
                           const Installation& installation, bool alone, const EnvLookup& env, observe::Log& log,
                           observe::GatewayMetrics& metrics)
    : control_(control),
      client_(client),
      log_(log),
      vllm_(settings.engines.vllm),
      gpus_(settings.engines.gpus),
      tasks_(control.executor()) {
  for (const auto& [name, provider] : all_providers(settings)) {
    const bool ollama = provider.preset == dialects::ProviderKind::kOllama;
    if (provider.enabled && provider.evict_others && ollama) evictable_.push_back(provider);
  }
  for (const auto& [name, engine] : vllm_) adapters_.reset(name, engine.lora_modules);
  drivers_ = {
      .environment = env,
      .container = {.gateway = gateway_id(installation, alone), .state_dir = installation.data_dir / "containers"},
      .choose_gpus = [this](const engines::EngineSpec& spec) { return choose_gpus(spec); },
      .model_folder = [](const engines::EngineSpec& spec) { return spec.file; },
      .adapters = &adapters_};
  engines::SupervisorSettings supervising;
  supervising.keep_alive = settings.models.keep_alive;
  supervising.memory_limit = settings.engines.memory_limit.bytes;
  supervising.max_restarts = settings.engines.max_restarts;
  supervising.restart_backoff = ms(settings.engines.restart_backoff);
  supervising.min_residency = settings.engines.min_residency;
  supervising.gpus = [this] { return gpus_.read(); };
  if (!evictable_.empty()) supervising.evict_others = [this](std::uint64_t) { return evict_others(); };
  supervising.running_on = [this](engines::EngineSpec spec) { return running_on(std::move(spec)); };
  supervising.learned_memory = installation.data_dir / "learned_memory.json";
  supervisor_ = std::make_unique<engines::Supervisor>(
      control, std::move(supervising),
      driver_factory({.program = find_engine(program_path().parent_path(), settings),
                      .socket_dir = installation.runtime_dir,
                      .start_timeout = ms(settings.engines.start_timeout),
                      .probe_timeout = ms(settings.engines.probe_timeout)}),
      log, metrics);
  scraper_ = std::make_unique<engines::VllmScraper>(control, client, metrics.registry(), engines::VllmScraperSettings{},
                                                    [this] { return vllm_engines(); });
}

engines::DriverFactory EngineWiring::driver_factory(engines::LlamaServerSettings llama) {
  return [this, llama = std::move(llama)](const engines::EngineSpec& spec) -> std::unique_ptr<engines::Driver> {
    if (spec.external) return engines::make_external_engine(client_, spec);
    if (spec.vllm) return engines::make_vllm_driver(control_, client_, drivers_, spec);
    return engines::make_llama_server(control_, client_, llama, spec);
  };
}

// The supervisor has chosen by memory; a container wants names that do not change with the order of the cards.
Result<engines::GpuChoice> EngineWiring::choose_gpus(const engines::EngineSpec& spec) const {
  engines::GpuChoice choice{.indexes = spec.gpus, .uuids = {}};
  const auto known = gpus_.read();
  for (const auto index : spec.gpus) {
    const auto gpu = std::ranges::find(known, index, &engines::Gpu::index);
    if (gpu == known.end() || gpu->uuid.empty()) return engines::GpuChoice{.indexes = spec.gpus, .uuids = {}};
    choice.uuids.push_back(gpu->uuid);
  }
  return choice;
}

Task<std::optional<EngineWiring::Running>> EngineWiring::find_running(engines::EngineSpec spec) {
  if (!spec.vllm || spec.vllm->runtime != engines::VllmRuntime::kContainer) co_return std::nullopt;
  const auto endpoint = containers::parse_docker_host(spec.vllm->container.docker_host);
  if (!endpoint) co_return std::nullopt;
  const TimeLimit limit(control_, kDaemonPatience, stopping_.token());
  containers::DockerClient docker(client_, *endpoint);
  auto found = co_await docker.list({{std::string(engines::kGatewayLabel), drivers_.container.gateway},
                                     {std::string(engines::kEngineLabel), engine_name(spec)}},
                                    limit.token());
  if (!found) co_return std::nullopt;
  const auto label = [](const containers::ContainerSummary& container, std::string_view name) {
    const auto at = container.labels.find(std::string(name));
    return at == container.labels.end() ? std::string() : at->second;
  };
  for (const auto& container : *found) {
    if (container.state != "running") continue;
    Running running{.gpus = {}, .hash = label(container, engines::kHashLabel)};
    const std::string gpus = label(container, engines::kGpusLabel);
    for (const auto part : split(gpus, ',')) {
      if (const auto index = parse_number<std::uint32_t>(part)) running.gpus.push_back(*index);
    }
    co_return running;
  }
  co_return std::nullopt;
}

Task<std::optional<std::vector<std::uint32_t>>> EngineWiring::running_on(engines::EngineSpec spec) {
  auto running = co_await find_running(std::move(spec));
  if (!running) co_return std::nullopt;
  co_return std::move(running->gpus);
}

Task<std::uint64_t> EngineWiring::evict_others() {
  std::uint64_t freed = 0;
  for (const auto& provider : evictable_) {
    const TimeLimit limit(control_, 3 * kDaemonPatience, stopping_.token());
    auto bytes = co_await engines::ollama::unload_idle(control_, client_, provider, {}, limit.token());
    if (bytes) {
      freed += *bytes;
      log_.info("another engine gave memory back", {{"address", engines::base_url_of(provider)}, {"bytes", *bytes}});
    } else {
      log_.warn("another engine was asked for memory in vain",
                {{"address", engines::base_url_of(provider)}, {"error", bytes.error().message}});
    }
  }
  co_return freed;
}

// What runs as it is wanted is taken over by its engine, workers included.
Task<void> EngineWiring::adopt_running(std::shared_ptr<const engines::EngineSpec> spec, Wanted& wanted) {
  engines::EngineSpec placed = *spec;
  const auto running = co_await find_running(placed);
  if (!running) co_return;
  placed.gpus = running->gpus;
  engines::VllmPlanInput input{.name = placed.name, .replica = placed.replica, .settings = *placed.vllm};
  if (const auto choice = choose_gpus(placed)) {
    input.gpus = choice->indexes;
    input.gpu_uuids = choice->uuids;
  }
  input.known.version = engines::version_of_image(placed.vllm->container.image);
  input.api_key = placed.vllm->api_key;
  input.model_folder = placed.file;
  input.environment = drivers_.environment;
  const auto plan = engines::make_launch_plan(input);
  if (!plan || plan->hash != running->hash) co_return;
  wanted[plan->docker_host].push_back(plan->hash);
  for (const auto& worker : plan->workers) wanted[worker.docker_host].push_back(worker.hash);
  supervisor_->start_now(std::move(spec));
}

// Whatever else an earlier gateway left with this container engine is wanted by nobody.
Task<void> EngineWiring::remove_orphans(std::string docker_host, std::vector<std::string> wanted) {
  const TimeLimit limit(control_, std::chrono::minutes(2), stopping_.token());
  auto removed = co_await engines::remove_orphan_containers(control_, client_, drivers_.container, docker_host,
                                                            std::move(wanted), limit.token());
  if (!removed) {
    log_.warn("containers left behind could not be looked for",
              {{"docker_host", docker_host}, {"error", removed.error().message}});
    co_return;
  }
  for (const auto& engine : *removed) log_.info("container that nobody wants any more removed", {{"engine", engine}});
}

Task<void> EngineWiring::recover(router::Catalogue& catalogue) {
  auto snapshot = co_await catalogue.list(false);
  if (!snapshot) co_return;
  Wanted wanted;
  for (const auto& [name, engine] : vllm_) {
    if (engine.runtime != engines::VllmRuntime::kContainer) continue;
    wanted[engine.container.docker_host];
    for (const auto& host : engine.multi_node.docker_hosts) wanted[host];
  }
  for (const auto& entry : (*snapshot)->entries) {
    for (const auto& spec : entry->replicas) {
      if (!spec->vllm || !entry->spec->adapter.empty()) continue;
      co_await adopt_running(spec, wanted);
      if (spec->vllm->autostart) supervisor_->start_now(spec);
    }
  }
  for (auto& [host, hashes] : wanted) {
    if (!stopping_.cancelled()) co_await remove_orphans(host, std::move(hashes));
  }
}

std::vector<std::pair<std::string, engines::EngineInfo>> EngineWiring::vllm_engines() const {
  std::vector<std::pair<std::string, engines::EngineInfo>> found;
  for (const auto& report : supervisor_->report()) {
    const bool up =
        report.status.state == engines::EngineState::kReady || report.status.state == engines::EngineState::kAsleep;
    if (up && report.status.info.kind == dialects::ProviderKind::kVllm)
      found.emplace_back(report.key, report.status.info);
  }
  return found;
}

void EngineWiring::start(router::Catalogue& catalogue) {
  if (vllm_.empty()) return;
  control_.post([this, &catalogue] {
    if (stopping_.cancelled()) return;
    tasks_.spawn(recover(catalogue));
    tasks_.spawn(scraper_->run(stopping_.token()));
  });
}

Task<void> EngineWiring::stop() {
  stopping_.cancel();
  co_await tasks_.join();
}

}  // namespace llm::cli
