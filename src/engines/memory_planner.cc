#include "engines/memory_planner.h"

#include <algorithm>
#include <fmt/format.h>
#include <limits>

#include "base/strings.h"
#include "engines/llama_server.h"
#include "models/memory_estimate.h"

namespace llm::engines {
namespace {

constexpr std::uint32_t kLeastContext = 1024;
constexpr std::uint64_t kMostBytes = 1ULL << 62;
constexpr std::uint64_t kGiB = 1ULL << 30;
constexpr std::uint64_t kVllmProcess = kGiB;
constexpr std::uint64_t kVllmCpuCache = 4 * kGiB;

// The configuration is wrong, not what the client asked for.
Error of_configuration(Error error) {
  if (error.code == ErrorCode::kNotFound || error.code == ErrorCode::kInvalidArgument) {
    error.code = ErrorCode::kUnavailable;
  }
  return error;
}

Result<models::MemoryEstimate> estimate_of(const EngineSpec& spec) {
  const ModelSettings& settings = spec.settings;
  return models::estimate_memory(spec.facts, {.context = std::uint64_t{settings.context} * settings.parallel,
                                              .parallel = settings.parallel,
                                              .ubatch = settings.ubatch,
                                              .cache_type_k = settings.cache_type_k,
                                              .cache_type_v = settings.cache_type_v,
                                              .flash_attention = settings.flash_attention != FlashAttention::kOff});
}

void add_lines(MemoryPlan& plan, std::optional<std::uint32_t> device, const models::MemoryEstimate& part,
               std::uint64_t share = 1) {
  plan.add(device, MemoryKind::kWeights, std::min(part.weights / share, kMostBytes));
  plan.add(device, MemoryKind::kKvCache, std::min(part.kv_cache / share, kMostBytes));
  plan.add(device, MemoryKind::kCompute, std::min(part.compute, kMostBytes));  // each GPU has its own buffers
}

// The `count` GPUs with the most room: what an engine would get if they had enough.
std::vector<std::uint32_t> emptiest(std::vector<Gpu> gpus, std::size_t count) {
  std::ranges::sort(gpus, [](const Gpu& a, const Gpu& b) {
    const auto room = [](const Gpu& gpu) { return gpu.memory_total - std::min(gpu.memory_total, gpu.memory_used); };
    return std::pair(room(b), a.index) < std::pair(room(a), b.index);
  });
  std::vector<std::uint32_t> out;
  for (const auto& gpu : gpus) {
    if (out.size() < count) out.push_back(gpu.index);
  }
  std::ranges::sort(out);
  return out;
}

std::uint64_t memory_of(const MachineMemory& machine, std::uint32_t device) {
  const auto gpu = std::ranges::find(machine.gpus, device, &Gpu::index);
  return gpu == machine.gpus.end() ? 0 : gpu->memory_total;
}

// The GPUs that the entry names for this replica.
std::vector<std::string> named_for(const EngineSpec& spec, std::uint32_t count) {
  const auto& all = spec.vllm->gpus;
  if (all.size() == count) return all;
  const std::size_t first = std::size_t{spec.replica} * count;
  if (all.size() < first + count) return {};
  return {all.begin() + static_cast<std::ptrdiff_t>(first), all.begin() + static_cast<std::ptrdiff_t>(first + count)};
}

std::uint64_t cpu_cache_of(const VllmSettings& settings) {
  const auto asked = settings.environment.find("VLLM_CPU_KVCACHE_SPACE");
  if (asked != settings.environment.end()) {
    if (const auto gib = parse_number<std::uint32_t>(asked->second); gib && *gib > 0) return *gib * kGiB;
  }
  const bool cpu = settings.runtime == VllmRuntime::kContainer && !settings.container.gpus;
  return cpu || asked != settings.environment.end() ? kVllmCpuCache : 0;
}

}  // namespace

bool uses_memory(const EngineSpec& spec) {
  if (spec.external) return false;
  // Of several machines ours may be any, or none; what runs there is not ours to count.
  return !spec.vllm || (spec.vllm->runtime != VllmRuntime::kRemote && spec.vllm->multi_node.hosts.size() < 2);
}

bool MemoryPlanner::offloads(const EngineSpec& spec, const MachineMemory& machine) const {
  return spec.embedded() && llama_offload_ && !machine.gpus.empty() && spec.settings.gpu_layers != 0;
}

Result<PlannedLoad> MemoryPlanner::plan(EngineSpec spec, const MachineMemory& machine,
                                        std::span<const std::string> gone) const {
  PlannedLoad load{.spec = std::move(spec)};
  if (!uses_memory(load.spec)) return load;
  auto planned =
      load.spec.vllm ? plan_vllm(std::move(load), machine, gone) : plan_llama(std::move(load), machine, gone);
  if (!planned) return planned;
  planned->memory = learned_.corrected(planned->spec, planned->estimate);
  planned->missing = ledger_.missing(planned->memory.total(), machine, gone);
  return planned;
}

Result<PlannedLoad> MemoryPlanner::plan_llama(PlannedLoad load, const MachineMemory& machine,
                                              std::span<const std::string> gone) const {
  EngineSpec& spec = load.spec;
  const auto whole = estimate_of(spec);
  if (!whole) return fail(whole.error());
  const bool offload = offloads(spec, machine);
  const std::uint64_t all = models::layer_count(spec.facts);
  const std::uint64_t layers = !offload                       ? 0
                               : spec.settings.gpu_layers < 0 ? all
                                                              : std::min<std::uint64_t>(spec.settings.gpu_layers, all);
  const auto split = models::split_offload(*whole, spec.facts, layers);
  add_lines(load.estimate, std::nullopt, split.host);
  load.estimate.add(std::nullopt, MemoryKind::kHostCache, std::min(spec.settings.cache_ram.bytes, kMostBytes));
  if (layers == 0) return load;
  if (spec.gpus.empty()) {  // as few as hold it
    const auto gpus = ledger_.gpus(machine, gone);
    for (std::uint32_t count = 1; count <= gpus.size() && spec.gpus.empty(); ++count) {
      const std::uint64_t each = (split.devices.weights + split.devices.kv_cache) / count + split.devices.compute;
      if (auto chosen = place(gpus, {}, {.count = count, .bytes_each = each})) spec.gpus = std::move(*chosen);
    }
    if (spec.gpus.empty()) spec.gpus = emptiest(gpus, 1);
  }
  for (const auto device : spec.gpus) add_lines(load.estimate, device, split.devices, spec.gpus.size());
  return load;
}

Result<PlannedLoad> MemoryPlanner::plan_vllm(PlannedLoad load, const MachineMemory& machine,
                                             std::span<const std::string> gone) const {
  EngineSpec& spec = load.spec;
  const VllmSettings& settings = *spec.vllm;
  const std::uint32_t count = settings.gpu_count > 0 ? settings.gpu_count
                                                     : settings.tensor_parallel_size * settings.pipeline_parallel_size *
                                                           settings.data_parallel_size;
  const bool asks = settings.runtime != VllmRuntime::kContainer || settings.container.gpus;
  // Where nobody can say what GPUs there are, vLLM sees for itself.
  if (asks && !machine.gpus.empty() && spec.gpus.empty()) {
    const auto gpus = ledger_.gpus(machine, gone);
    auto chosen =
        place(gpus, {}, {.count = count, .share = settings.gpu_memory_utilization, .named = named_for(spec, count)});
    if (chosen) {
      spec.gpus = std::move(*chosen);
    } else if (chosen.error().code == ErrorCode::kInsufficientMemory && count <= gpus.size()) {
      load.no_gpu = chosen.error().message;
      spec.gpus = emptiest(gpus, count);
    } else {
      return fail(of_configuration(chosen.error()));
    }
  }
  for (const auto device : spec.gpus) {
    load.estimate.add(
        device, MemoryKind::kEngine,
        static_cast<std::uint64_t>(static_cast<double>(memory_of(machine, device)) * settings.gpu_memory_utilization));
  }
  load.estimate.add(std::nullopt, MemoryKind::kEngine, kVllmProcess * std::max<std::uint64_t>(count, 1));
  load.estimate.add(std::nullopt, MemoryKind::kWeights, std::min(settings.cpu_offload.bytes * count, kMostBytes));
  const std::uint64_t cpu_cache = spec.gpus.empty() ? cpu_cache_of(settings) : 0;
  load.estimate.add(std::nullopt, MemoryKind::kKvCache,
                    std::min(settings.swap_space.bytes * (spec.gpus.empty() ? 0 : count) + cpu_cache, kMostBytes));
  return load;
}

Result<PlannedLoad> MemoryPlanner::choose(const EngineSpec& wanted, const MachineMemory& machine,
                                          std::span<const std::string> gone) const {
  EngineSpec spec = wanted;
  const bool free_context = spec.embedded() && spec.settings.context == 0;
  if (spec.embedded()) spec.settings.context = wanted_context(spec.settings, spec.facts);
  while (true) {
    auto load = plan(spec, machine, gone);
    if (!load) return load;
    if (!load->fits() && spec.settings.gpu_layers < 0 && offloads(spec, machine)) {
      // The most layers that fit: fewer of them always take less of the GPU and more of the host.
      EngineSpec part = spec;
      std::int32_t most = 0;
      std::int32_t least_wrong = static_cast<std::int32_t>(
          std::min<std::uint64_t>(models::layer_count(spec.facts), std::numeric_limits<std::int32_t>::max()));
      while (least_wrong - most > 1) {
        part.settings.gpu_layers = most + (least_wrong - most) / 2;
        const auto tried = plan(part, machine, gone);
        if (!tried) return tried;
        (tried->missing.devices.empty() ? most : least_wrong) = part.settings.gpu_layers;
      }
      part.settings.gpu_layers = most;
      auto partly = plan(part, machine, gone);
      if (!partly || partly->fits()) load = std::move(partly);
    }
    const bool last = !free_context || spec.settings.context / 2 < kLeastContext;
    if (load && (load->fits() || last)) {
      if (wanted.gpus.empty()) load->spec.gpus.clear();
      return load;
    }
    if (!load) return load;
    spec.settings.context /= 2;
  }
}

}  // namespace llm::engines
