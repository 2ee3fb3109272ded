#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engines/vllm/plan.h"

// What the pieces of a launch plan share. Only for the files plan*.cc.
namespace llm::engines {

// Where one of several machines stands; rank 0 is the head. One machine: none of it matters.
struct NodePlace {
  std::uint32_t rank = 0;
  std::uint32_t count = 1;
  std::string head;  // address of the head, or what a cluster puts in for it
  std::string rank_text = "0";
  std::string count_text = "1";
};

// The model and the options of `vllm serve`, without where it listens.
std::vector<std::string> serve_arguments(const VllmPlanInput& input, std::string_view model,
                                         const VllmFeatures& features, const NodePlace& place);

// Inside containers.
constexpr std::string_view kModelMount = "/model";
constexpr std::string_view kModelCacheMount = "/cache/huggingface";
constexpr std::string_view kCompileCacheMount = "/cache/vllm";
constexpr std::string_view kModelVolume = "llm-mcp-huggingface";
constexpr std::string_view kCompileVolume = "llm-mcp-vllm-cache";

struct Mount {
  std::string source;  // a host folder, or the name of a volume
  std::string target;
  bool read_only = false;
  bool volume() const { return !source.starts_with('/'); }
};
std::vector<Mount> mounts_of(const VllmPlanInput& input);

std::string served_name(const VllmPlanInput& input);
// The folder of this machine that the model is in; empty: the engine fetches the model.
std::filesystem::path model_folder(const VllmPlanInput& input);
// What `vllm serve` is told in a container.
std::string container_model(const VllmPlanInput& input);
std::string engine_name(const VllmPlanInput& input);     // "big#1"
std::string container_name(const VllmPlanInput& input);  // "llm-mcp-big-1"
// GPUs of one machine that one replica needs.
std::uint32_t gpus_each(const VllmSettings& settings);
bool uses_gpus(const VllmSettings& settings);
// The ones it gets, as the container engine and CUDA know them; empty: any `gpus_each()`.
std::vector<std::string> gpu_names(const VllmPlanInput& input);
std::map<std::string, std::string> environment_of(const VllmPlanInput& input, std::string_view host);
NodePlace place_of(const VllmSettings& settings, std::uint32_t rank);

// The shell lines that Ray needs around a container's server: Ray joins the machines, vLLM only uses it.
std::string ray_head_script(std::string_view host, std::uint16_t port);
std::string ray_worker_script(std::string_view head, std::string_view host, std::uint16_t port);

// One input for each replica of the entry, with the GPUs that the configuration gives it.
std::vector<VllmPlanInput> replicas_of(const VllmPlanInput& input);
// As it would be in a container, whatever its runtime.
VllmPlanInput as_container(VllmPlanInput input);
std::uint16_t host_port(const VllmPlanInput& input);  // 0: any free one

Result<std::string> render_kubernetes(const VllmPlanInput& input);
Result<std::string> render_compose(const VllmPlanInput& input);

}  // namespace llm::engines
