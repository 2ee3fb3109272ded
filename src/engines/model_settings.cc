#include "engines/model_settings.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/strings.h"

namespace llm {

const json::Table<engines::ModelSettings>& json::Fields<engines::ModelSettings>::table() {
  using S = engines::ModelSettings;
  static const Table<S> table{
      "model settings",
      {
          field(
              "context", &S::context,
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
          field(
              "chat_template", &S::chat_template,
              {.description = "A Jinja file (absolute path) or the name of a built-in template, instead of the model's "
                              "own."}),
          field("mode", &S::mode, {.description = "What the engine serves. auto: as the model's header says."}),
          field("keep_alive", &S::keep_alive,
                {.description = "Unload after being idle for so long; -1 never. Default: models.keep_alive.",
                 .minimum = -1}),
          field("flash_attention", &S::flash_attention, {.description = "Fused attention kernels."}),
          field("cache_type_k", &S::cache_type_k, {.description = "Type of the KV cache's keys: f16, q8_0, q4_0, …"}),
          field("cache_type_v", &S::cache_type_v, {.description = "Type of the KV cache's values."}),
          field("cache_ram", &S::cache_ram,
                {.description = "Memory for the states of earlier prompts, kept for reuse. Counted by the memory "
                                "ledger."}),
          field(
              "extra_args", &S::extra_args,
              {.description = "More llama-server arguments, one list item each.", .max_length = 4096, .max_items = 64}),
          field(
              "engine", &S::engine,
              {.description = "Name of an entry of providers, engines.external or engines.vllm that serves this model "
                              "instead of llama.cpp."}),
          field(
              "replicas", &S::replicas,
              {.description = "Equal engines behind this name, each with its own memory; the router spreads requests.",
               .minimum = 1,
               .maximum = 64}),
          field("pinned", &S::pinned, {.description = "Never unloaded to make room for another model."}),
          field("priority", &S::priority,
                {.description = "Who is unloaded when memory is short: the lowest first, then the longest unused.",
                 .minimum = -1000,
                 .maximum = 1000}),
          field("min_residency", &S::min_residency,
                {.description = "Once loaded it stays for so long, even if another model needs the memory. Default: "
                                "engines.min_residency.",
                 .minimum = 0}),
      }};
  return table;
}

}  // namespace llm

namespace llm::engines {
namespace {

// llama-server options (with all their spellings in v0.5.0) that an extra argument may not be.
struct Reserved {
  std::string_view names;    // separated by spaces; "--x-*": all that begin so
  std::string_view instead;  // the setting that does it; empty: nothing may
};
constexpr auto kReserved = std::to_array<Reserved>({
    // What is loaded, and from where.
    {"-m --model -a --alias -mu --model-url -dr --docker-repo -hf -hfr --hf-repo -hff --hf-file -hft --hf-token", ""},
    {"-hfd -hfrd --hf-repo-draft --spec-draft-hf -mmu --mmproj-url --offline -cl --cache-list", ""},
    {"--embd-gemma-default --fim-* --gpt-oss-* --vision-*", ""},
    {"--models-* --no-models-autoload --tags --sleep-idle-seconds -kvu --kv-unified -no-kvu --no-kv-unified", ""},
    // Where it listens, and for whom.
    {"--host --port --reuse-port --path --api-prefix --api-key --api-key-file --ssl-* --cors-* --no-cors-credentials",
     ""},
    {"--ui --webui --no-ui --no-webui --ui-* --webui-* --no-ui-* --no-webui-* --tools --tools-* --mcp-*", ""},
    {"-ag --agent -no-ag --no-agent --rpc --props --metrics --slots --no-slots", ""},
    // Files it would write or serve, and the log that is read here.
    {"--slot-save-path --media-path --log-prompts-dir --log-disable --log-file --log-colors --log-jsonl --no-log-jsonl",
     ""},
    {"--log-prefix --no-log-prefix --log-timestamps --no-log-timestamps -lcd --lookup-cache-dynamic", ""},
    // What does not start an engine at all.
    {"-h --help --usage --version --license --completion-bash --list-devices", ""},
    // What settings say, and the memory ledger counts with.
    {"-c --ctx-size --kv-unified-per-slot -fitc --fit-ctx", "context"},
    {"-np --parallel --threads-http", "parallel"},
    {"-b --batch-size", "batch"},
    {"-ub --ubatch-size", "ubatch"},
    {"-t --threads", "threads"},
    {"-tb --threads-batch", "threads_batch"},
    {"-ngl --gpu-layers --n-gpu-layers", "gpu_layers"},
    {"-fa --flash-attn", "flash_attention"},
    {"-ctk --cache-type-k", "cache_type_k"},
    {"-ctv --cache-type-v", "cache_type_v"},
    {"-cram --cache-ram", "cache_ram"},
    {"--chat-template --chat-template-file", "chat_template"},
    {"--embedding --embeddings --rerank --reranking", "mode"},
});

const Reserved* find_reserved(std::string_view name) {
  for (const auto& row : kReserved) {
    for (const auto pattern : split(row.names, ' ')) {
      const bool fits =
          pattern.ends_with('*') ? name.starts_with(pattern.substr(0, pattern.size() - 1)) : name == pattern;
      if (fits) return &row;
    }
  }
  return nullptr;
}

}  // namespace

Result<void> check_extra_args(const std::vector<std::string>& args) {
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    const std::string pointer = fmt::format("/extra_args/{}", i);
    if (arg.find_first_of(std::string_view("\0\n\r", 3)) != std::string::npos) {
      return fail(ErrorCode::kInvalidArgument, "an engine argument holds no NUL and no line break", pointer);
    }
    // llama-server reads "--api_key" as "--api-key".
    std::string name = arg.substr(0, arg.find('='));
    if (name.starts_with("--")) std::ranges::replace(name, '_', '-');
    const Reserved* row = find_reserved(name);
    if (!row) continue;
    return fail(
        ErrorCode::kInvalidArgument,
        row->instead.empty()
            ? fmt::format("the engine argument {} is set by the gateway itself and cannot be given here", name)
            : fmt::format("the engine argument {} cannot be given here; use the setting {}", name, row->instead),
        pointer);
  }
  return {};
}

}  // namespace llm::engines
