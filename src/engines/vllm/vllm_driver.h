#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "async/loop.h"
#include "base/paths.h"
#include "engines/engine.h"
#include "engines/vllm/container_launcher.h"
#include "engines/vllm/vllm_adapters.h"
#include "engines/vllm/vllm_log.h"
#include "net/http_client.h"

namespace llm::engines {

// The GPUs that one replica gets.
struct GpuChoice {
  std::vector<std::uint32_t> indexes;
  std::vector<std::string> uuids;  // of those, where known
};

// What the drivers of all vLLM engines share. What is null is not used.
struct VllmDriverSettings {
  EnvLookup environment;                // of the gateway
  ContainerLauncherSettings container;  // for engines that run in containers
  // Asked at each start; an error ends it. Null: the engine's `gpus`, else vLLM's own choice.
  std::function<Result<GpuChoice>(const EngineSpec& spec)> choose_gpus;
  // The folder of a model of the store ("store:…" in the engine's settings). Null or empty: none.
  std::function<std::filesystem::path(const EngineSpec& spec)> model_folder;
  std::shared_ptr<StartTimes> start_times = std::make_shared<StartTimes>();  // shared by the drivers; control loop
  VllmAdapters* adapters = nullptr;                                          // outlives the drivers
  std::chrono::milliseconds probe_timeout{10'000};                           // for one look at the engine's state
  std::chrono::milliseconds version_timeout{60'000};                         // for `vllm --version`
  std::chrono::milliseconds work_timeout{300'000};                           // for sleeping, waking, loading an adapter
};

// A vLLM server that the gateway runs (spec.vllm) as a container or a process, or that somebody else runs and that we
// only watch (runtime remote). It is ready when /health and /v1/models answer and a tiny request succeeded. A failure
// tells the cause as far as the log does, and the log's end. Command::kSleep and its like: see vllm_commands.h.
std::unique_ptr<Driver> make_vllm_driver(Loop& control, net::HttpClient& client, VllmDriverSettings settings,
                                         EngineSpec spec);

// The same with a launcher that is given, for tests; null for runtime remote.
std::unique_ptr<Driver> make_vllm_driver(Loop& control, net::HttpClient& client, VllmDriverSettings settings,
                                         EngineSpec spec, std::unique_ptr<Launcher> launcher);

}  // namespace llm::engines
