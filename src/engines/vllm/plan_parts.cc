#include "engines/vllm/plan_parts.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/strings.h"

namespace llm::engines {
namespace {

bool has_lora(const VllmSettings& settings) {
  return settings.enable_lora || !settings.lora_modules.empty();
}

// Does the engine need the hub although the model is here?
bool needs_hub(const VllmSettings& settings) {
  return std::ranges::any_of(settings.lora_modules, [](const LoraModule& one) { return !one.path.starts_with('/'); });
}

}  // namespace

std::string served_name(const VllmPlanInput& input) {
  return input.settings.served_name.empty() ? input.name : input.settings.served_name;
}

std::filesystem::path model_folder(const VllmPlanInput& input) {
  if (!input.model_folder.empty()) return input.model_folder;
  return input.settings.model.starts_with('/') ? std::filesystem::path(input.settings.model) : std::filesystem::path();
}

std::string container_model(const VllmPlanInput& input) {
  return model_folder(input).empty() ? input.settings.model : std::string(kModelMount);
}

std::string engine_name(const VllmPlanInput& input) {
  return input.replica == 0 ? input.name : fmt::format("{}#{}", input.name, input.replica);
}

std::string container_name(const VllmPlanInput& input) {
  std::string name = fmt::format("llm-mcp-{}", input.name);
  for (char& c : name) {
    const bool good =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (!good) c = '-';
  }
  return input.replica == 0 ? name : fmt::format("{}-{}", name, input.replica);
}

std::uint32_t gpus_each(const VllmSettings& s) {
  const std::uint32_t all = s.tensor_parallel_size * s.pipeline_parallel_size * s.data_parallel_size;
  return all / static_cast<std::uint32_t>(std::max<std::size_t>(1, s.multi_node.hosts.size()));
}

bool uses_gpus(const VllmSettings& s) {
  return s.runtime != VllmRuntime::kContainer || s.container.gpus;
}

std::vector<std::string> gpu_names(const VllmPlanInput& input) {
  if (!uses_gpus(input.settings)) return {};
  const bool container = input.settings.runtime == VllmRuntime::kContainer;
  if (container && !input.gpu_uuids.empty()) return input.gpu_uuids;
  std::vector<std::string> out;
  for (const auto index : input.gpus) out.push_back(fmt::format("{}", index));
  if (!out.empty()) return out;
  // This replica's part of the configured list.
  const auto& all = input.settings.gpus;
  const std::size_t each = gpus_each(input.settings);
  for (std::size_t i = each * input.replica; i < std::min(all.size(), each * (input.replica + 1)); ++i) {
    out.push_back(all[i]);
  }
  return out;
}

std::vector<Mount> mounts_of(const VllmPlanInput& input) {
  const auto& c = input.settings.container;
  std::vector<Mount> out{
      {c.model_cache.empty() ? std::string(kModelVolume) : c.model_cache, std::string(kModelCacheMount)},
      {c.compile_cache.empty() ? std::string(kCompileVolume) : c.compile_cache, std::string(kCompileCacheMount)},
  };
  if (const auto folder = model_folder(input); !folder.empty()) {
    out.push_back({folder.string(), std::string(kModelMount), true});
  }
  for (const auto& mount : c.mounts) {
    const auto parts = split(mount, ':');
    out.push_back({std::string(parts[0]), std::string(parts[1]), parts.size() < 3 || parts[2] != "rw"});
  }
  return out;
}

std::map<std::string, std::string> environment_of(const VllmPlanInput& input, std::string_view host) {
  const VllmSettings& s = input.settings;
  const bool container = s.runtime == VllmRuntime::kContainer;
  std::map<std::string, std::string> out{
      {"DO_NOT_TRACK", "1"},
      {"HF_HUB_DISABLE_TELEMETRY", "1"},
      {"PYTHONUNBUFFERED", "1"},  // its log is read as it is written
      {"VLLM_NO_USAGE_STATS", "1"},
  };
  if (container) {
    out["HF_HOME"] = kModelCacheMount;
    out["VLLM_CACHE_ROOT"] = kCompileCacheMount;
  }
  if (!model_folder(input).empty() && !needs_hub(s)) out["HF_HUB_OFFLINE"] = "1";
  if (has_lora(s)) out["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True";
  if (s.sleep_mode) out["VLLM_SERVER_DEV_MODE"] = "1";
  if (!host.empty()) out["VLLM_HOST_IP"] = host;
  if (const auto gpus = gpu_names(input); !container && !gpus.empty()) {
    out["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID";  // NVML's order, which the indexes are of
    out["CUDA_VISIBLE_DEVICES"] = fmt::format("{}", fmt::join(gpus, ","));
  }
  for (const auto& [name, value] : s.environment) out[name] = value;
  for (const auto& name : s.pass_environment) {
    if (!input.environment) break;
    if (auto value = input.environment(name)) out[name] = std::move(*value);
  }
  if (!s.hf_token.empty()) out["HF_TOKEN"] = s.hf_token;
  if (!input.api_key.empty()) out["VLLM_API_KEY"] = input.api_key;
  return out;
}

bool is_secret_variable(std::string_view name, const VllmSettings& settings) {
  return name == "HF_TOKEN" || name == "VLLM_API_KEY" ||
         std::ranges::find(settings.pass_environment, name) != settings.pass_environment.end();
}

NodePlace place_of(const VllmSettings& settings, std::uint32_t rank) {
  const auto& hosts = settings.multi_node.hosts;
  if (hosts.size() <= 1) return {};
  const auto count = static_cast<std::uint32_t>(hosts.size());
  return {rank, count, hosts.front(), fmt::format("{}", rank), fmt::format("{}", count)};
}

std::string ray_head_script(std::string_view host, std::uint16_t port) {
  return fmt::format(
      "ray start --head --node-ip-address={} --port={} --include-dashboard=false --disable-usage-stats && "
      "exec vllm serve \"$@\"",
      host, port);
}

// The head may come later, and come back.
std::string ray_worker_script(std::string_view head, std::string_view host, std::uint16_t port) {
  return fmt::format(
      "until ray start --address={}:{} --node-ip-address={} --disable-usage-stats --block; do sleep 5; done", head,
      port, host);
}

std::vector<VllmPlanInput> replicas_of(const VllmPlanInput& input) {
  std::vector<VllmPlanInput> out;
  for (std::uint32_t replica = 0; replica < input.settings.replicas; ++replica) {
    out.push_back(input);
    out.back().replica = replica;
    if (input.settings.replicas == 1) continue;
    out.back().gpus.clear();
    out.back().gpu_uuids.clear();
  }
  return out;
}

VllmPlanInput as_container(VllmPlanInput input) {
  input.settings.runtime = VllmRuntime::kContainer;
  return input;
}

std::uint16_t host_port(const VllmPlanInput& input) {
  const std::uint16_t first = input.settings.port;
  return first == 0 ? first : static_cast<std::uint16_t>(first + input.replica);
}

}  // namespace llm::engines
