#include "engines/model_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace llm {

const json::Table<engines::ModelSettings>& json::Fields<engines::ModelSettings>::table() {
  using S = engines::ModelSettings;
  static const Table<S> table{
      "model settings",
      {
          field("context", &S::context,
                {.description = "Tokens of context for each request. 0: the model's own, at most 8192, less if memory is "
                                "short.",
                 .maximum = 16'777'216}),
          field("parallel", &S::parallel,
                {.description = "Requests generated at the same time; each has the whole context.",
                 .minimum = 1,
                 .maximum = 64}),
          field("gpu_layers", &S::gpu_layers,
                {.description = "Layers offloaded to the GPU. -1: as many as fit.", .minimum = -1, .maximum = 100'000}),
          field("threads", &S::threads,
                {.description = "CPU threads while generating. 0: the cores that are free.", .maximum = 1024}),
          field("threads_batch", &S::threads_batch,
                {.description = "CPU threads while reading the prompt. 0: the cores this process may use.",
                 .maximum = 1024}),
          field("batch", &S::batch,
                {.description = "Prompt tokens handed to the engine at once.", .minimum = 32, .maximum = 65'536}),
          field("ubatch", &S::ubatch,
                {.description = "Prompt tokens computed at once.", .minimum = 16, .maximum = 65'536}),
          field("chat_template", &S::chat_template,
                {.description = "A Jinja file (absolute path) or the name of a built-in template, instead of the model's "
                                "own."}),
          field("mode", &S::mode,
                {.description = "What the engine serves. auto: as the model's header says."}),
          field("keep_alive", &S::keep_alive,
                {.description = "Unload after being idle for so long; -1 never. Default: models.keep_alive.",
                 .minimum = -1}),
          field("flash_attention", &S::flash_attention, {.description = "Fused attention kernels."}),
          field("cache_type_k", &S::cache_type_k, {.description = "Type of the KV cache's keys: f16, q8_0, q4_0, …"}),
          field("cache_type_v", &S::cache_type_v, {.description = "Type of the KV cache's values."}),
          field("cache_ram", &S::cache_ram,
                {.description = "Memory for the states of earlier prompts, kept for reuse. Counted by the memory "
                                "ledger."}),
          field("extra_args", &S::extra_args,
                {.description = "More llama-server arguments, one list item each.", .max_length = 4096, .max_items = 64}),
          field("engine", &S::engine,
                {.description = "Name of an entry of engines.external that serves this model instead of llama.cpp."}),
      }};
  return table;
}

}  // namespace llm

namespace llm::engines {
namespace {

// llama-server flags the gateway sets itself or never allows.
constexpr auto kReserved = std::to_array<std::string_view>({
    "-m", "--model", "-mu", "--model-url", "-dr", "--docker-repo", "-hf", "-hfr", "--hf-repo", "-hff", "--hf-file",
    "-hft", "--hf-token", "-a", "--alias", "--host", "--port", "--reuse-port", "--path", "--api-prefix", "--api-key",
    "--api-key-file", "--ssl-key-file", "--ssl-cert-file", "--cors-origins", "--cors-methods", "--cors-headers",
    "--cors-credentials", "--rpc", "--log-file", "--log-disable", "--log-jsonl", "--tools", "--tools-runtime", "--agent",
    "-ag", "--mcp-servers-config", "--mcp-servers-json", "--ui", "--webui", "--ui-mcp-proxy", "--webui-mcp-proxy",
    "--models-dir", "--models-preset", "--slot-save-path", "--media-path", "--props", "-h", "--help", "--usage",
    "--version", "--offline", "--embedding", "--embeddings", "--rerank", "--reranking",
});

}  // namespace

Result<void> check_extra_args(const std::vector<std::string>& args) {
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    const std::string pointer = fmt::format("/extra_args/{}", i);
    if (arg.find_first_of(std::string_view("\0\n\r", 3)) != std::string::npos) {
      return fail(ErrorCode::kInvalidArgument, "an engine argument holds no NUL and no line break", pointer);
    }
    const std::string name = arg.substr(0, arg.find('='));
    if (std::ranges::find(kReserved, name) != kReserved.end()) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("the engine argument {} is set by the gateway itself and cannot be given here", name),
                  pointer);
    }
  }
  return {};
}

}  // namespace llm::engines
