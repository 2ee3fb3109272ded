#include "engines/vllm/vllm_settings.h"

namespace llm {

const json::Table<engines::LoraModule>& json::Fields<engines::LoraModule>::table() {
  using S = engines::LoraModule;
  static const Table<S> table{
      "LoRA module",
      {
          field("name", &S::name,
                {.description = "Name of the adapter; clients ask for <served name>:<name>.",
                 .required = true,
                 .min_length = 1,
                 .max_length = 128}),
          field("path", &S::path,
                {.description = "Its folder as the engine sees it (in the container where there is one), or a Hugging "
                                "Face repository.",
                 .required = true,
                 .min_length = 1,
                 .max_length = 4096}),
      }};
  return table;
}

const json::Table<engines::MultiNodeSettings>& json::Fields<engines::MultiNodeSettings>::table() {
  using S = engines::MultiNodeSettings;
  static const Table<S> table{
      "multi-node settings",
      {
          field("hosts", &S::hosts,
                {.description = "Addresses of the machines that serve the model together, the head first: this one. "
                                "Empty: this machine alone. What engines tell each other is not encrypted: use a "
                                "private network.",
                 .min_length = 1,
                 .max_length = 253,
                 .max_items = 64}),
          field("backend", &S::backend,
                {.description = "How they find each other: ray, or mp (vLLM's own; images newer than 0.10.1)."}),
          field("port", &S::port,
                {.description = "Port of the head where the others join: Ray's, or of mp the master's. Default of Ray "
                                "elsewhere: 6379.",
                 .minimum = 1}),
          field("docker_hosts", &S::docker_hosts,
                {.description = "Where the other machines' container engines are, for the gateway to start and stop "
                                "the workers there: one for each of hosts but the first, in their order. unix:PATH or "
                                "tcp://127.0.0.1:PORT, such as sockets that ssh forwards. Empty: whoever runs those "
                                "machines starts the workers (llm-mcp engine plan).",
                 .max_length = 4096,
                 .max_items = 63}),
      }};
  return table;
}

const json::Table<engines::VllmContainerSettings>& json::Fields<engines::VllmContainerSettings>::table() {
  using S = engines::VllmContainerSettings;
  static const Table<S> table{
      "vLLM container settings",
      {
          field("image", &S::image,
                {.description = "Image with vLLM's server as entry point, with its tag or digest.", .min_length = 1}),
          field("docker_host", &S::docker_host,
                {.description = "Where the Docker Engine API is: unix:PATH. Podman's compatible socket works too."}),
          field("registry_auth", &S::registry_auth,
                {.description = "USER:PASSWORD for a private registry: env:NAME, file:PATH, credential:NAME, or the "
                                "text itself.",
                 .secret = true}),
          field("pull", &S::pull, {.description = "Fetch the image when it is not on this machine."}),
          field("shared_memory", &S::shared_memory,
                {.description = "Size of /dev/shm, which the engine's processes talk through.",
                 .minimum = 64.0 * (1 << 20)}),
          field("model_cache", &S::model_cache,
                {.description = "Host folder (absolute) or volume for Hugging Face's cache. Empty: the volume "
                                "llm-mcp-huggingface."}),
          field("compile_cache", &S::compile_cache,
                {.description = "Host folder (absolute) or volume for vLLM's compile cache: keeping it shortens later "
                                "starts by minutes. Empty: the volume llm-mcp-vllm-cache."}),
          field("mounts", &S::mounts,
                {.description = "More files for the container, such as adapters and templates: "
                                "/host/path:/container/path[:ro|:rw]. Read-only where nothing else is said.",
                 .max_items = 64}),
          field("gpu_runtime", &S::gpu_runtime,
                {.description = "Name of the container runtime, nvidia where the daemon needs it named. Empty: the "
                                "daemon's own choice."}),
          field("gpus", &S::gpus, {.description = "false: no GPU is asked for (CPU images)."}),
      }};
  return table;
}

const json::Table<engines::VllmProcessSettings>& json::Fields<engines::VllmProcessSettings>::table() {
  using S = engines::VllmProcessSettings;
  static const Table<S> table{
      "vLLM process settings",
      {
          field("python", &S::python,
                {.description = "Folder of the Python environment vLLM is installed in, or its interpreter (absolute). "
                                "Empty: vllm from PATH."}),
          field("program", &S::program, {.description = "The program vllm (absolute). Empty: beside the interpreter."}),
      }};
  return table;
}

const json::Table<engines::VllmSettings>& json::Fields<engines::VllmSettings>::table() {
  using S = engines::VllmSettings;
  constexpr std::size_t kText = 4096;
  static const Table<S> table{
      "vLLM engine",
      {
          // What runs, and where.
          field("runtime", &S::runtime,
                {.description = "container: through the Docker Engine API. process: vllm serve of a Python "
                                "environment. remote: somebody else runs it at base_url."}),
          field("model", &S::model,
                {.description = "Hugging Face repository (OWNER/NAME), an absolute folder in Hugging Face's format, or "
                                "a model of the store (store:NAME).",
                 .max_length = kText}),
          field("revision", &S::revision,
                {.description = "Branch, tag or commit of the repository. Empty: its main branch.", .max_length = 256}),
          field("served_name", &S::served_name,
                {.description = "What clients call the model. Empty: the entry's name.", .max_length = 256}),
          field("base_url", &S::base_url,
                {.description = "runtime remote: base of its API, such as http://127.0.0.1:8000/v1.",
                 .max_length = 2048}),
          // GPUs and parallelism.
          field("tensor_parallel_size", &S::tensor_parallel_size,
                {.description = "GPUs that share each layer, inside one machine.", .minimum = 1, .maximum = 1024}),
          field("pipeline_parallel_size", &S::pipeline_parallel_size,
                {.description = "Groups of layers one after the other: over machines, or GPUs without fast links.",
                 .minimum = 1,
                 .maximum = 1024}),
          field("data_parallel_size", &S::data_parallel_size,
                {.description = "Copies of the model inside one engine, balanced by vLLM. See also replicas.",
                 .minimum = 1,
                 .maximum = 1024}),
          field(
              "replicas", &S::replicas,
              {.description = "Separate engines of this entry, balanced by the gateway's router; each has GPUs of its "
                              "own.",
               .minimum = 1,
               .maximum = 64}),
          field("gpus", &S::gpus,
                {.description = "Indexes or UUIDs of the GPUs to use; replicas share the list out in its order. Empty: "
                                "chosen by free memory.",
                 .min_length = 1,
                 .max_length = 64,
                 .max_items = 256}),
          field("gpu_count", &S::gpu_count,
                {.description = "GPUs of this machine for each replica. 0: as many as the parallel sizes need.",
                 .maximum = 256}),
          // The model in memory.
          field("dtype", &S::dtype, {.description = "auto, bfloat16, float16, float32.", .max_length = 32}),
          field("quantization", &S::quantization,
                {.description = "awq, gptq, fp8, bitsandbytes, … Empty: as the model says.", .max_length = 64}),
          field("gpu_memory_utilization", &S::gpu_memory_utilization,
                {.description = "Share of each GPU's memory that the engine takes for weights and KV cache.",
                 .maximum = 1,
                 .exclusive_minimum = 0}),
          field("max_model_len", &S::max_model_len,
                {.description = "Tokens of context for each request. 0: the model's own.", .maximum = 16'777'216}),
          field("max_num_seqs", &S::max_num_seqs,
                {.description = "Requests generated at the same time. 0: vLLM's choice.", .maximum = 100'000}),
          field("max_num_batched_tokens", &S::max_num_batched_tokens,
                {.description = "Tokens computed in one step. 0: vLLM's choice.", .maximum = 16'777'216}),
          field("prefix_caching", &S::prefix_caching,
                {.description = "Reuse the KV cache of equal beginnings of prompts. auto: vLLM's choice."}),
          field("chunked_prefill", &S::chunked_prefill,
                {.description = "Compute long prompts in pieces between other requests' tokens. auto: vLLM's choice."}),
          field("kv_cache_dtype", &S::kv_cache_dtype,
                {.description = "Type of the KV cache: auto, fp8, fp8_e4m3, fp8_e5m2, …", .max_length = 32}),
          field(
              "swap_space", &S::swap_space,
              {.description = "Host memory for each GPU that preempted requests are swapped to; only images that know "
                              "the option. 0: vLLM's choice."}),
          field("cpu_offload", &S::cpu_offload,
                {.description = "Part of the weights, for each GPU, that stays in host memory. 0: none."}),
          field("speculative_config", &S::speculative_config,
                {.description = "vLLM's --speculative-config as an object, such as {method: ngram, "
                                "num_speculative_tokens: 4}."}),
          // Adapters, parsers, templates.
          field("enable_lora", &S::enable_lora,
                {.description = "Serve LoRA adapters, also ones that are loaded while it runs. lora_modules turn it on "
                                "by themselves."}),
          field("max_loras", &S::max_loras,
                {.description = "Adapters in one batch. 0: vLLM's choice.", .maximum = 1024}),
          field("max_lora_rank", &S::max_lora_rank,
                {.description = "Largest rank of an adapter. 0: vLLM's choice.", .maximum = 4096}),
          field("lora_modules", &S::lora_modules,
                {.description = "Adapters that are there from the start.", .max_items = 256}),
          field("tool_call_parser", &S::tool_call_parser,
                {.description = "How the model writes tool calls (hermes, llama3_json, mistral, …); also turns on "
                                "automatic tool choice. Empty: no tools.",
                 .max_length = 64}),
          field("reasoning_parser", &S::reasoning_parser,
                {.description = "How the model marks its reasoning (deepseek_r1, qwen3, …). Empty: not told apart.",
                 .max_length = 64}),
          field("chat_template", &S::chat_template,
                {.description = "Jinja file as the engine sees it, instead of the model's own template.",
                 .max_length = kText}),
          field("trust_remote_code", &S::trust_remote_code,
                {.description = "Run Python code that comes with the model. Only for models in trusted_models: such "
                                "code may do whatever the engine may."}),
          field("trusted_models", &S::trusted_models,
                {.description = "Models whose code may run: exact names, or OWNER/*.",
                 .min_length = 1,
                 .max_items = 256}),
          // Sleep.
          field("sleep_mode", &S::sleep_mode,
                {.description = "Let the engine give its GPU memory back without ending, and wake in a second. Opens "
                                "vLLM's development endpoints, which only the gateway reaches."}),
          field(
              "idle_action", &S::idle_action,
              {.description = "What happens after keep_alive: stop; sleep-1 keeps the weights in host memory; sleep-2 "
                              "drops them and reads them again."}),
          // Everything else vLLM knows.
          field("extra_args", &S::extra_args,
                {.description = "More arguments of vllm serve, one list item each.",
                 .max_length = kText,
                 .max_items = 128}),
          field("environment", &S::environment,
                {.description = "Environment variables of the engine. Values are shown: secrets belong to hf_token, "
                                "api_key or pass_environment.",
                 .max_length = kText,
                 .max_items = 128}),
          field("pass_environment", &S::pass_environment,
                {.description = "Names of variables taken over from the gateway's own environment; nothing else of it "
                                "reaches a container.",
                 .min_length = 1,
                 .max_length = 256,
                 .max_items = 128}),
          field(
              "hf_token", &S::hf_token,
              {.description = "Hugging Face token for gated models: env:NAME, file:PATH, credential:NAME, or the text "
                              "itself.",
               .secret = true}),
          field("api_key", &S::api_key,
                {.description = "Key the engine asks for. Empty: made up at each start; of a remote one: none.",
                 .secret = true}),
          field("port", &S::port,
                {.description = "Port of the engine on 127.0.0.1; the n-th replica gets port + n. 0: any free one."}),
          // Its life.
          field("keep_alive", &S::keep_alive,
                {.description = "idle_action is done after so long without requests; -1 never. Default: never.",
                 .minimum = -1}),
          field("start_timeout", &S::start_timeout,
                {.description = "How long it may take until it answers, the image's download not counted.",
                 .minimum = 1000}),
          field("stop_timeout", &S::stop_timeout,
                {.description = "Time to end in order before it is killed.", .minimum = 0}),
          field("request_timeout", &S::request_timeout,
                {.description = "Until the first byte of an answer; 0 none.", .minimum = 0}),
          field("first_token_timeout", &S::first_token_timeout,
                {.description = "Until the first piece of a streamed answer; 0 none.", .minimum = 0}),
          field("stall_timeout", &S::stall_timeout,
                {.description = "The longest pause between two pieces of an answer; 0 none.", .minimum = 0}),
          field("max_concurrent", &S::max_concurrent,
                {.description = "Requests handed to one replica at once; more wait in the gateway. 0: max_num_seqs, "
                                "else 256.",
                 .maximum = 100'000}),
          field(
              "keep_running", &S::keep_running,
              {.description = "Containers: leave it running when the gateway stops; the next gateway takes it over."}),
          field("autostart", &S::autostart, {.description = "Start with the gateway, not with the first request."}),
          field("pinned", &S::pinned, {.description = "Never stopped to make room for another model."}),
          field("priority", &S::priority,
                {.description = "Who is stopped when memory is short: the lowest first, then the longest unused.",
                 .minimum = -1000,
                 .maximum = 1000}),
          field("container", &S::container, {.description = "Of runtime container."}),
          field("process", &S::process, {.description = "Of runtime process."}),
          field("multi_node", &S::multi_node, {.description = "One model over several machines."}),
      }};
  return table;
}

}  // namespace llm
