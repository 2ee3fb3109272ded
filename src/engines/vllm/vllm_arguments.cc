#include "engines/vllm/vllm_arguments.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/strings.h"

namespace llm::engines {
namespace {

// Options of vLLM 0.10.1 to 0.32 that an extra argument may not be.
struct Reserved {
  std::string_view names;    // separated by spaces; "--x-*": all that begin so
  std::string_view instead;  // the setting that does it; empty: nothing may
};
constexpr auto kReserved = std::to_array<Reserved>({
    // Where it listens, for whom, and what answers there.
    {"--host --port --uds --ssl-* --enable-ssl-refresh --root-path --grpc --allow-credentials --allowed-origins", ""},
    {"--allowed-methods --allowed-headers --disable-fastapi-docs --tokens-only", ""},
    // The log and the metrics, which are read here; prompts and answers do not belong into either.
    {"--log-config-file --log-level --logging-config --uvicorn-log-level --disable-log-stats --enable-log-requests",
     ""},
    {"--no-disable-log-requests --enable-log-outputs --enable-log-deltas --max-log-len --enable-prompt-tokens-details",
     ""},
    // What does not start this server at all, or reads options from elsewhere.
    {"-h --help --version -v --config --dry-run --omni", ""},
    // What settings say.
    {"--model --model-tag", "model"},
    {"--revision", "revision"},
    {"--served-model-name", "served_name"},
    {"--api-key", "api_key"},
    {"--hf-token", "hf_token"},
    {"-tp --tensor-parallel-size", "tensor_parallel_size"},
    {"-pp --pipeline-parallel-size", "pipeline_parallel_size"},
    {"-dp --data-parallel-size", "data_parallel_size"},
    {"--distributed-executor-backend", "multi_node.backend"},
    {"--headless --nnodes -n --node-rank -r --master-addr --master-port", "multi_node"},
    {"-dpa -dph -dpl -dpm -dpn -dpp -dpr --data-parallel-address --data-parallel-external-lb", "multi_node"},
    {"--data-parallel-hybrid-lb --data-parallel-multi-port-external-lb --data-parallel-rank --data-parallel-rpc-port",
     "multi_node"},
    {"--data-parallel-size-local --data-parallel-start-rank --data-parallel-supervisor-port", "multi_node"},
    {"--device-ids", "gpus"},
    {"--dtype", "dtype"},
    {"-q --quantization", "quantization"},
    {"--gpu-memory-utilization --device-memory-utilization", "gpu_memory_utilization"},
    {"--max-model-len", "max_model_len"},
    {"--max-num-seqs", "max_num_seqs"},
    {"--max-num-batched-tokens", "max_num_batched_tokens"},
    {"--enable-prefix-caching --no-enable-prefix-caching", "prefix_caching"},
    {"--enable-chunked-prefill --no-enable-chunked-prefill", "chunked_prefill"},
    {"--kv-cache-dtype", "kv_cache_dtype"},
    {"-sc --speculative-config", "speculative_config"},
    {"--enable-lora --no-enable-lora", "enable_lora"},
    {"--max-loras", "max_loras"},
    {"--max-lora-rank", "max_lora_rank"},
    {"--lora-modules", "lora_modules"},
    {"--enable-auto-tool-choice --tool-call-parser", "tool_call_parser"},
    {"--reasoning-parser", "reasoning_parser"},
    {"--chat-template", "chat_template"},
    {"--trust-remote-code --no-trust-remote-code", "trust_remote_code"},
    {"--trust-request-chat-template", ""},
    {"--enable-sleep-mode --no-enable-sleep-mode", "sleep_mode"},
    {"--swap-space", "swap_space"},
    {"--cpu-offload-gb", "cpu_offload"},
    {"--shutdown-timeout", "stop_timeout"},
});

constexpr auto kReservedVariables = std::to_array<Reserved>({
    {"VLLM_API_KEY", "api_key"},
    {"HF_TOKEN HUGGING_FACE_HUB_TOKEN", "hf_token"},
    {"VLLM_SERVER_DEV_MODE", "sleep_mode"},
    {"VLLM_ALLOW_RUNTIME_LORA_UPDATING", "enable_lora"},
    {"CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES CUDA_DEVICE_ORDER", "gpus"},
    {"VLLM_HOST_IP VLLM_PORT VLLM_DP_*", "multi_node"},
    {"VLLM_CONFIGURE_LOGGING VLLM_LOGGING_* VLLM_DEBUG_LOG_API_SERVER_RESPONSE PYTHONUNBUFFERED", ""},
});

bool fits(std::string_view name, std::string_view pattern) {
  return pattern.ends_with('*') ? name.starts_with(pattern.substr(0, pattern.size() - 1)) : name == pattern;
}

// argparse takes the beginning of a name for the name, and what follows a name of one letter for its value.
bool means(std::string_view name, std::string_view pattern) {
  if (fits(name, pattern) || (name.size() > 1 && pattern.starts_with(name))) return true;
  return pattern.size() == 2 && pattern[1] != '-' && !name.starts_with("--") && name.starts_with(pattern);
}

}  // namespace

Result<void> check_vllm_args(const std::vector<std::string>& args) {
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    const std::string pointer = fmt::format("/extra_args/{}", i);
    if (arg.find_first_of(std::string_view("\0\n\r", 3)) != std::string::npos) {
      return fail(ErrorCode::kInvalidArgument, "an engine argument holds no NUL and no line break", pointer);
    }
    if (i == 0 && !arg.starts_with('-')) {
      return fail(ErrorCode::kInvalidArgument, "expected an option that starts with \"-\"", pointer);
    }
    const bool number = arg.size() > 1 && arg[0] == '-' && arg[1] >= '0' && arg[1] <= '9';
    if (!arg.starts_with('-') || number) continue;  // the value of the option before it
    std::string name = arg.substr(0, arg.find_first_of("=."));
    if (name.starts_with("--")) std::ranges::replace(name, '_', '-');
    for (const auto& row : kReserved) {
      for (const auto pattern : split(row.names, ' ')) {
        if (!means(name, pattern)) continue;
        return fail(
            ErrorCode::kInvalidArgument,
            row.instead.empty()
                ? fmt::format("the engine argument {} is set by the gateway itself and cannot be given here", name)
                : fmt::format("the engine argument {} cannot be given here; use the setting {}", name, row.instead),
            pointer);
      }
    }
  }
  return {};
}

Result<void> check_vllm_variable(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; };
  const auto inner = [&letter](char c) { return letter(c) || (c >= '0' && c <= '9'); };
  if (name.empty() || !letter(name.front()) || !std::ranges::all_of(name, inner)) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("expected the name of an environment variable, got \"{}\"", name));
  }
  for (const auto& row : kReservedVariables) {
    const auto names = split(row.names, ' ');
    if (std::ranges::none_of(names, [name](auto pattern) { return fits(name, pattern); })) continue;
    return fail(ErrorCode::kInvalidArgument,
                row.instead.empty()
                    ? fmt::format("the variable {} is set by the gateway itself and cannot be given here", name)
                    : fmt::format("the variable {} cannot be given here; use the setting {}", name, row.instead));
  }
  return {};
}

}  // namespace llm::engines
