// The options of `vllm serve` that an entry stands for.
#include <algorithm>
#include <fmt/format.h>

#include "engines/vllm/plan_parts.h"

namespace llm::engines {
namespace {

class Arguments {
 public:
  explicit Arguments(std::string_view model) : list_{std::string(model)} {}

  void flag(std::string_view name) { list_.emplace_back(name); }
  void text(std::string_view name, std::string_view value) {
    if (value.empty() || value == "auto") return;
    list_.emplace_back(name);
    list_.emplace_back(value);
  }
  void number(std::string_view name, std::uint64_t value, std::uint64_t left_out = 0) {
    if (value != left_out) text(name, fmt::format("{}", value));
  }
  void gibibytes(std::string_view name, json::ByteSize size) {
    if (size.bytes != 0) text(name, fmt::format("{:.6g}", static_cast<double>(size.bytes) / (1ULL << 30)));
  }
  void toggle(std::string_view name, Toggle toggle) {
    if (toggle == Toggle::kAuto) return;
    list_.push_back(fmt::format("--{}{}", toggle == Toggle::kOff ? "no-" : "", name));
  }
  void append(const std::vector<std::string>& more) { list_.insert(list_.end(), more.begin(), more.end()); }
  std::vector<std::string> take() { return std::move(list_); }

 private:
  std::vector<std::string> list_;
};

void add_parallelism(Arguments& out, const VllmSettings& s, const NodePlace& place) {
  out.number("--tensor-parallel-size", s.tensor_parallel_size, 1);
  out.number("--pipeline-parallel-size", s.pipeline_parallel_size, 1);
  out.number("--data-parallel-size", s.data_parallel_size, 1);
  if (place.count <= 1) return;
  out.text("--distributed-executor-backend", s.multi_node.backend);
  if (s.multi_node.backend == "ray") return;
  out.text("--nnodes", place.count_text);
  out.text("--node-rank", place.rank_text);
  out.text("--master-addr", place.head);
  out.number("--master-port", s.multi_node.port);
  if (place.rank > 0) out.flag("--headless");
}

void add_memory(Arguments& out, const VllmSettings& s, const VllmFeatures& features) {
  out.text("--dtype", s.dtype);
  out.text("--quantization", s.quantization);
  out.text("--gpu-memory-utilization", fmt::format("{}", s.gpu_memory_utilization));
  out.number("--max-model-len", s.max_model_len);
  out.number("--max-num-seqs", s.max_num_seqs);
  out.number("--max-num-batched-tokens", s.max_num_batched_tokens);
  out.toggle("enable-prefix-caching", s.prefix_caching);
  out.toggle("enable-chunked-prefill", s.chunked_prefill);
  out.text("--kv-cache-dtype", s.kv_cache_dtype);
  if (features.swap_space) out.gibibytes("--swap-space", s.swap_space);
  out.gibibytes("--cpu-offload-gb", s.cpu_offload);
  if (!s.speculative_config.empty()) out.text("--speculative-config", json::write(s.speculative_config));
}

void add_adapters(Arguments& out, const VllmSettings& s) {
  if (!s.enable_lora && s.lora_modules.empty()) return;
  out.flag("--enable-lora");
  out.number("--max-loras", s.max_loras);
  out.number("--max-lora-rank", s.max_lora_rank);
  if (s.lora_modules.empty()) return;
  out.flag("--lora-modules");
  for (const auto& [name, path] : s.lora_modules) out.append({fmt::format("{}={}", name, path)});
}

}  // namespace

std::vector<std::string> serve_arguments(const VllmPlanInput& input, std::string_view model,
                                         const VllmFeatures& features, const NodePlace& place) {
  const VllmSettings& s = input.settings;
  Arguments out(model);
  out.text("--served-model-name", served_name(input));
  out.text("--revision", s.revision);
  add_parallelism(out, s, place);
  add_memory(out, s, features);
  add_adapters(out, s);
  if (!s.tool_call_parser.empty()) {
    out.flag("--enable-auto-tool-choice");
    out.text("--tool-call-parser", s.tool_call_parser);
  }
  out.text("--reasoning-parser", s.reasoning_parser);
  out.text("--chat-template", s.chat_template);
  if (s.trust_remote_code) out.flag("--trust-remote-code");
  if (s.sleep_mode) out.flag("--enable-sleep-mode");
  out.flag("--enable-prompt-tokens-details");  // usage tells what came from the prefix cache
  if (features.shutdown_timeout) out.number("--shutdown-timeout", static_cast<std::uint64_t>(s.stop_timeout.ms) / 1000);
  out.append(s.extra_args);
  return out.take();
}

}  // namespace llm::engines
