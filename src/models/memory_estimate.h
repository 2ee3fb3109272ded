#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "models/gguf.h"

namespace llm::models {

// How a model is about to be loaded.
struct LoadPlan {
  std::uint64_t context = 0;   // tokens in the KV cache, all sequences together (llama-server's --ctx-size); 0: the
                               // model's own context length
  std::uint64_t parallel = 1;  // sequences (slots), >= 1
  std::uint64_t ubatch = 512;  // tokens computed at once, >= 1
  std::string cache_type_k = "f16";  // names of tensor types, as llama-server takes them
  std::string cache_type_v = "f16";
  bool flash_attention = true;  // without it the attention scores of a whole ubatch are materialised
};

// Bytes of memory, by what they are for. Sums saturate instead of overflowing.
struct MemoryEstimate {
  std::uint64_t weights = 0;
  std::uint64_t kv_cache = 0;
  std::uint64_t compute = 0;  // graph buffers, output buffer, and what the engine process itself takes
  std::uint64_t total = 0;
  friend bool operator==(const MemoryEstimate&, const MemoryEstimate&) = default;
};

// What loading the model will take at its worst moment (a prompt as long as the context).
//
//   weights  = sum of all tensors
//   kv_cache = sum over layers of kv_heads x (key_length x bytes(K) + value_length x bytes(V)) x context
//              + parallel x state of recurrent layers;  the context is rounded up to 256 tokens per sequence
//   compute  = ubatch x (4 x (4 x embedding + 3 x feed_forward) + 2 x context_per_sequence)      32-bit activations,
//                                                                                                16-bit mask
//              + ubatch x 4 x (heads + 1) x context_per_sequence   only without flash attention
//              + parallel x vocabulary x 4                          logits
//              + 24 MiB + vocabulary x 256                          the process: code, heap, tokenizer
//
// The KV cache is an upper bound for sliding-window and latent-attention (MLA) models, which keep less. The ledger
// corrects the estimate by what the engine really used.
//
// Checked against llama-server v0.5.0 (CPU, one thread) with SmolLM2-135M-Instruct Q4_1. Weights and KV cache equal its
// log (92.10 MiB; 180.00 for 8192 tokens in f16, 95.62 in q8_0, 45.00 for 4 x 512). Graph buffers, logged / estimated
// in MiB: 21.51 / 21.50 at 8192 tokens, 5.38 / 5.38 there with ubatch 128, 15.51 / 15.50 at 2048, 14.01 / 14.56 at
// 4 x 512, 46.38 / 55.50 at 2048 without flash attention. Resident size after a prompt of 1,431 tokens at 2048:
// 188.5 MiB, estimated 188.8 (+0.2 %); without flash attention 214.1, estimated 228.8 (+7 %).
//
// kInvalidArgument for unknown cache types and zero counts.
Result<MemoryEstimate> estimate_memory(const GgufFacts& facts, const LoadPlan& plan);

// The estimate by where the bytes lie when `layers` of the model's layers (blocks and the output layer) are on GPUs.
struct OffloadEstimate {
  MemoryEstimate host;
  MemoryEstimate devices;  // all of them together
};
// Layers count as equally large, each with its part of the KV cache. Graph buffers are there on both sides, and the
// GPU's runtime takes 320 MiB more. 0 layers: everything is on the host. A plan for placement, not a promise: the
// ledger corrects it by what the driver measures.
OffloadEstimate split_offload(const MemoryEstimate& whole, const GgufFacts& facts, std::uint64_t layers);

// All that can be offloaded: blocks and the output layer.
std::uint64_t layer_count(const GgufFacts& facts);

}  // namespace llm::models
