#pragma once

#include <span>
#include <string>

#include "base/error.h"
#include "engines/memory_learned.h"
#include "engines/memory_ledger.h"

namespace llm::engines {

// Needs the gateway to make room on this machine for `spec`? Not for what others run, here or elsewhere.
bool uses_memory(const EngineSpec& spec);

// A load on this machine, as it would be at the moment.
struct PlannedLoad {
  EngineSpec spec = {};       // with what was chosen: context, GPU layers, GPUs
  MemoryPlan estimate = {};   // as computed
  MemoryPlan memory = {};     // the same corrected by earlier measurements: what is reserved
  MemoryDemand missing = {};  // empty: it fits
  std::string no_gpu = {};    // why no GPUs could be chosen, if they could not
  bool fits() const { return missing.empty(); }
};

// Works out what a load takes and where it goes. Control loop only.
//
//   llama.cpp  models::estimate_memory() and the prompt cache, on the host; with GPUs and gpu_layers other than 0 the
//              offloaded layers and their KV cache on as few GPUs as hold them (llama.cpp splits evenly), -1: as many
//              layers as fit.
//   vLLM       gpu_memory_utilization of each GPU it is given, whatever the model; on the host 1 GiB for each GPU's
//              process, swap_space and cpu_offload; without GPUs its CPU backend's KV cache (VLLM_CPU_KVCACHE_SPACE,
//              4 GiB by itself). What is not known before the first load, the weights in host memory above all, is
//              learned by it.
class MemoryPlanner {
 public:
  MemoryPlanner(const MemoryLedger& ledger, const LearnedMemory& learned, bool llama_offload)
      : ledger_(ledger), learned_(learned), llama_offload_(llama_offload) {}

  // `spec` as it is, if the engines `gone` had given back theirs. GPUs that it names already stay. kInsufficientMemory:
  // never, with the GPUs of this machine; kInvalidArgument: settings that make no sense.
  Result<PlannedLoad> plan(EngineSpec spec, const MachineMemory& machine, std::span<const std::string> gone) const;

  // The same where `spec` leaves a choice: without a context of its own choice the user wants what fits, so it is
  // halved before the load is refused; with gpu_layers -1 as many layers go to GPUs as fit. The choice stands in the
  // returned spec, its GPUs are open again.
  Result<PlannedLoad> choose(const EngineSpec& spec, const MachineMemory& machine,
                             std::span<const std::string> gone) const;

 private:
  Result<PlannedLoad> plan_llama(PlannedLoad load, const MachineMemory& machine,
                                 std::span<const std::string> gone) const;
  Result<PlannedLoad> plan_vllm(PlannedLoad load, const MachineMemory& machine,
                                std::span<const std::string> gone) const;
  bool offloads(const EngineSpec& spec, const MachineMemory& machine) const;

  const MemoryLedger& ledger_;
  const LearnedMemory& learned_;
  bool llama_offload_;
};

}  // namespace llm::engines
