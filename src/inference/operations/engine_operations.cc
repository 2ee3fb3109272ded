#include <array>

#include "inference/operations/engine_calls.h"

namespace llm::inference {

std::span<const OperationRow> engine_operations() {
  using access::Permission;
  static constexpr auto kRows = std::to_array<OperationRow>({
      {"engine.list", "GET", "/api/v1/vllm", Permission::kEnginesRead, false,
       "Engines of the configuration that vLLM runs, and what their replicas do.", list_engine_entries},
      {"engine.info", "GET", "/api/v1/engines/{name}", Permission::kEnginesRead, false,
       "One engine: its settings, its replicas, what they say of themselves.", engine_info},
      {"engine.plan", "GET", "/api/v1/engines/{name}/plan", Permission::kEnginesRead, false,
       "What would be started, as argv, docker, compose or kubernetes. Starts nothing.", plan_engine},
      {"engine.start", "POST", "/api/v1/engines/{name}/start", Permission::kModelsWrite, true,
       "Start an engine with all its replicas.", start_engine},
      {"engine.stop", "POST", "/api/v1/engines/{name}/stop", Permission::kModelsWrite, false,
       "Stop an engine with all its replicas, after the requests that run.", stop_engine},
      {"engine.sleep", "POST", "/api/v1/engines/{name}/sleep", Permission::kModelsWrite, false,
       "Let an engine give its GPU memory back without ending.", sleep_engine},
      {"engine.wake", "POST", "/api/v1/engines/{name}/wake", Permission::kModelsWrite, false,
       "Wake an engine that sleeps.", wake_engine},
      {"engine.adapters", "GET", "/api/v1/engines/{name}/adapters", Permission::kEnginesRead, false,
       "LoRA adapters that an engine has.", list_adapters},
      {"engine.adapter_load", "POST", "/api/v1/engines/{name}/adapters", Permission::kModelsWrite, false,
       "Load a LoRA adapter into a running engine.", load_adapter},
      {"engine.adapter_unload", "POST", "/api/v1/engines/{name}/adapters/unload", Permission::kModelsWrite, false,
       "Take a LoRA adapter out of a running engine.", unload_adapter},
      {"engine.metrics", "GET", "/api/v1/engines/{name}/metrics", Permission::kMetricsRead, false,
       "An engine's own numbers, under the gateway's names.", engine_metrics},
      {"gpu.list", "GET", "/api/v1/gpus", Permission::kEnginesRead, false, "GPUs of this machine.", list_gpus},
  });
  return kRows;
}

}  // namespace llm::inference
