#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/paths.h"
#include "engines/vllm/launcher.h"
#include "engines/vllm/vllm_settings.h"

namespace llm::engines {

// What is known of a vLLM before it runs. Empty: not known.
struct VllmKnown {
  std::string version = {};               // "0.10.1"
  std::vector<std::string> options = {};  // long options that `vllm serve --help=all` lists
};

// Which options may be given. What nobody said a version knows is left out where vLLM can do without.
struct VllmFeatures {
  bool shutdown_timeout = false;  // --shutdown-timeout
  bool swap_space = true;         // --swap-space
  bool nodes = true;              // --nnodes and its like
};
VllmFeatures features_of(const VllmKnown& known);

// "0.10.1" of "vllm/vllm-openai:v0.10.1-cu128"; empty if the tag names no version.
std::string version_of_image(std::string_view image);

// Everything a plan is made from.
struct VllmPlanInput {
  std::string name;           // of the entry
  std::uint32_t replica = 0;  // counted from 0
  VllmSettings settings = {};
  std::vector<std::uint32_t> gpus = {};     // chosen by place(), this replica's; empty: none are known here
  std::vector<std::string> gpu_uuids = {};  // of `gpus`, where known: what a container gets
  VllmKnown known = {};
  // Asked for by the engine: the configured one, or one that was made up. Only the configured one is part of the hash.
  std::string api_key = {};
  // The model on this machine where it is a folder or in the store; empty: settings.model if that is a folder, else the
  // engine fetches it.
  std::filesystem::path model_folder = {};
  EnvLookup environment = {};  // of the gateway, for pass_environment; null: empty
};

// Which of the plan's variables are secrets: their values are never printed.
bool is_secret_variable(std::string_view name, const VllmSettings& settings);

// How this replica is launched on this machine; of several machines, the head.
//   Process: argv begins with the program. With plan.port 0 it holds no --port: the launcher appends one.
//   Container: argv are the arguments to the image's entry point; it listens on kVllmPort inside. `container` is the
//   body of POST /containers/create without "Env", which is `environment`, and without a host port where plan.port is
//   0. With several machines the container shares the host's network and listens on 127.0.0.1:plan.port.
// check_vllm() passed before. kInvalidArgument: it is a remote engine, a version that lacks what is asked for, or a
// model of the store without its folder.
constexpr std::uint16_t kVllmPort = 8000;
Result<LaunchPlan> make_launch_plan(const VllmPlanInput& input);

// One of several machines, and what runs there beside the head.
struct NodePlan {
  std::string host;
  std::string role;                                // "head", "worker"
  std::vector<std::vector<std::string>> commands;  // one after the other; each ends or goes to the background
  LaunchPlan plan;                                 // of a container: the machine's own
};
// All machines of `settings.multi_node`, the head first; one machine: it alone. Workers wait for the head and the head
// for its workers, so that the order in which they are started does not matter (vLLM's own time-out: ten minutes).
Result<std::vector<NodePlan>> make_node_plans(const VllmPlanInput& input);

// Labels of what we start. The hash of LaunchPlan::hash.
constexpr std::string_view kEngineLabel = "llm-mcp.engine";
constexpr std::string_view kHashLabel = "llm-mcp.hash";
constexpr std::string_view kGpusLabel = "llm-mcp.gpus";  // indexes, "0,1"

// SHA-256 (hex) of a document whose keys were sorted: equal for equal content, whatever the order of its members.
std::string canonical_hash(const json::value& document);

enum class PlanFormat { kArgv, kDocker, kCompose, kKubernetes };
// The plan as text for people and files, ending in a line break. Secrets appear as names of variables only. `docker` is
// JSON; `compose` and `kubernetes` are YAML.
Result<std::string> render_plan(const VllmPlanInput& input, PlanFormat format);

}  // namespace llm::engines

template <>
struct llm::json::EnumNames<llm::engines::PlanFormat> {
  static constexpr std::array<std::pair<engines::PlanFormat, std::string_view>, 4> values{{
      {engines::PlanFormat::kArgv, "argv"},
      {engines::PlanFormat::kDocker, "docker"},
      {engines::PlanFormat::kCompose, "compose"},
      {engines::PlanFormat::kKubernetes, "kubernetes"},
  }};
};
