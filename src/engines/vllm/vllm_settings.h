#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "json/fields.h"

namespace llm::engines {

enum class VllmRuntime { kContainer, kProcess, kRemote };
enum class IdleAction { kStop, kSleep1, kSleep2 };
enum class Toggle { kAuto, kOn, kOff };

struct LoraModule {
  std::string name;
  std::string path;  // inside the container or process
};

// Where several machines serve one model together (vLLM's own multi-node means).
struct MultiNodeSettings {
  std::vector<std::string> hosts;  // the first is the head; empty: one machine
  std::string backend = "ray";     // ray, mp (newer than 0.10.1)
  std::uint16_t port = 29'500;     // of the head
  // Container engines of hosts[1], hosts[2], …, for the gateway to start the workers there; empty: somebody else does.
  std::vector<std::string> docker_hosts;
};

struct VllmContainerSettings {
  std::string image = "vllm/vllm-openai:0.10.1";
  std::string docker_host = "unix:/var/run/docker.sock";  // Podman's compatible socket works too
  std::string registry_auth;                              // "user:password" for pulls, as a secret
  bool pull = true;                                       // an image that is not here
  json::ByteSize shared_memory{16ULL << 30};
  std::string model_cache;          // host folder or volume for Hugging Face's cache; empty: volume llm-mcp-huggingface
  std::string compile_cache;        // for vLLM's compile cache; empty: volume llm-mcp-vllm-cache
  std::vector<std::string> mounts;  // "/host/path:/container/path:ro"
  std::string gpu_runtime;          // "nvidia" where the daemon needs it named; empty: DeviceRequests alone
  bool gpus = true;                 // false: no GPU is asked for (CPU images, tests)
};

struct VllmProcessSettings {
  std::string python;   // interpreter or environment's folder; empty: `vllm` from PATH
  std::string program;  // path of `vllm`; empty: beside the interpreter
};

// One vLLM engine that the gateway runs (`engines.vllm.<name>`) on one card or eight, here or on several machines.
// 0, empty and "auto" mean vLLM's own choice.
struct VllmSettings {
  VllmRuntime runtime = VllmRuntime::kContainer;
  std::string model;  // Hugging Face repository, a folder, or a model of the store
  std::string revision;
  std::string served_name;  // what clients call it; empty: the entry's name
  std::string base_url;     // runtime remote
  std::uint32_t tensor_parallel_size = 1;
  std::uint32_t pipeline_parallel_size = 1;
  std::uint32_t data_parallel_size =
      1;  // inside one engine, by vLLM; `replicas` are separate engines behind our router
  std::uint32_t replicas = 1;
  std::vector<std::string> gpus;  // indexes or UUIDs; empty: chosen by free memory
  std::uint32_t gpu_count = 0;    // 0: what the parallel sizes need
  std::string dtype = "auto";
  std::string quantization;
  double gpu_memory_utilization = 0.9;
  std::uint32_t max_model_len = 0;
  std::uint32_t max_num_seqs = 0;
  std::uint32_t max_num_batched_tokens = 0;
  Toggle prefix_caching = Toggle::kAuto;
  Toggle chunked_prefill = Toggle::kAuto;
  std::string kv_cache_dtype = "auto";
  json::object speculative_config;
  bool enable_lora = false;
  std::uint32_t max_loras = 0;
  std::uint32_t max_lora_rank = 0;
  std::vector<LoraModule> lora_modules;
  std::string tool_call_parser;  // enables automatic tool choice
  std::string reasoning_parser;
  std::string chat_template;
  bool trust_remote_code = false;
  std::vector<std::string> trusted_models;  // allow-list for the above
  bool sleep_mode = false;
  IdleAction idle_action = IdleAction::kStop;
  json::ByteSize swap_space;
  json::ByteSize cpu_offload;
  std::vector<std::string> extra_args;
  std::map<std::string, std::string> environment;
  std::vector<std::string> pass_environment;  // names taken over from the gateway's own environment
  std::string hf_token;                       // secret; for gated repositories
  std::string api_key;                        // secret; empty: made up at each start
  std::uint16_t port = 0;                     // on loopback; 0: any free one
  std::optional<json::Duration> keep_alive;   // default -1: never unloaded
  json::Duration start_timeout{1'800'000};
  json::Duration stop_timeout{30'000};  // drain before the kill
  json::Duration request_timeout{600'000};
  json::Duration first_token_timeout{600'000};
  json::Duration stall_timeout{120'000};
  std::uint32_t max_concurrent = 0;  // requests handed to one replica at once; 0: max_num_seqs, else 256
  bool keep_running = false;         // leave it running when the gateway stops in order; the next one adopts it
  bool autostart = false;            // start with the gateway, not with the first request
  bool pinned = false;
  std::int32_t priority = 0;
  VllmContainerSettings container;
  VllmProcessSettings process;
  MultiNodeSettings multi_node;
};

// What no single field can check (parallel sizes against GPUs, arguments that are the gateway's own, a model whose code
// is not trusted, settings that another one contradicts). Errors point into the entry.
Result<void> check_vllm(const VllmSettings& settings);

}  // namespace llm::engines

template <>
struct llm::json::EnumNames<llm::engines::VllmRuntime> {
  static constexpr std::array<std::pair<engines::VllmRuntime, std::string_view>, 3> values{{
      {engines::VllmRuntime::kContainer, "container"},
      {engines::VllmRuntime::kProcess, "process"},
      {engines::VllmRuntime::kRemote, "remote"},
  }};
};
template <>
struct llm::json::EnumNames<llm::engines::IdleAction> {
  static constexpr std::array<std::pair<engines::IdleAction, std::string_view>, 3> values{{
      {engines::IdleAction::kStop, "stop"},
      {engines::IdleAction::kSleep1, "sleep-1"},
      {engines::IdleAction::kSleep2, "sleep-2"},
  }};
};
template <>
struct llm::json::EnumNames<llm::engines::Toggle> {
  static constexpr std::array<std::pair<engines::Toggle, std::string_view>, 3> values{{
      {engines::Toggle::kAuto, "auto"},
      {engines::Toggle::kOn, "on"},
      {engines::Toggle::kOff, "off"},
  }};
};
template <>
struct llm::json::Fields<llm::engines::LoraModule> {
  static const Table<engines::LoraModule>& table();
};
template <>
struct llm::json::Fields<llm::engines::MultiNodeSettings> {
  static const Table<engines::MultiNodeSettings>& table();
};
template <>
struct llm::json::Fields<llm::engines::VllmContainerSettings> {
  static const Table<engines::VllmContainerSettings>& table();
};
template <>
struct llm::json::Fields<llm::engines::VllmProcessSettings> {
  static const Table<engines::VllmProcessSettings>& table();
};
template <>
struct llm::json::Fields<llm::engines::VllmSettings> {
  static const Table<engines::VllmSettings>& table();
};
