#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace llm::models {

// What a model is good for, as its header suggests; settings may say otherwise.
enum class ModelMode { kGeneration, kEmbedding, kRerank };
std::string_view to_string(ModelMode mode);
std::optional<ModelMode> parse_model_mode(std::string_view text);

// `<architecture>.pooling_type` as the format defines it.
enum class Pooling { kNone = 0, kMean = 1, kCls = 2, kLast = 3, kRank = 4 };

// What the header of a GGUF file says about its model (format: ggml's docs/gguf.md, versions 2 and 3). Counts that the
// file does not give are 0, texts empty. All sizes in bytes.
struct GgufFacts {
  std::uint32_t version = 0;
  std::string architecture;  // "llama", "qwen3", "bert"
  std::string type;          // general.type: "model", "adapter", "mmproj"; often absent
  std::string name;
  std::string license;
  std::string quantisation;   // general.file_type where known ("Q4_K_M"), else the type most bytes have
  std::string dominant_type;  // the tensor type that holds most bytes ("Q4_K")
  std::string chat_template;  // a Jinja template, at most 256 KiB
  bool chat_template_cut = false;

  std::uint64_t parameters = 0;
  std::uint64_t context_length = 0;
  std::uint64_t embedding_length = 0;
  std::uint64_t feed_forward_length = 0;  // the largest layer; experts counted as often as a token uses them
  std::uint64_t block_count = 0;
  std::uint64_t head_count = 0;         // the largest layer
  std::uint64_t head_count_kv = 0;      // the largest layer
  std::uint64_t head_count_kv_sum = 0;  // over all layers: what the KV cache grows with
  std::uint64_t key_length = 0;         // per head, default embedding_length / head_count
  std::uint64_t value_length = 0;
  std::uint64_t recurrent_state_bytes = 0;  // fixed state of recurrent layers (Mamba and alike), for one sequence
  std::uint64_t sliding_window = 0;
  std::uint64_t expert_count = 0;
  std::uint64_t expert_used_count = 0;
  std::uint64_t vocab_size = 0;
  std::optional<std::uint64_t> pooling_type;  // see Pooling; newer files may use values we do not know
  bool has_encoder = false;                   // encoder or encoder-decoder (BERT, T5)
  bool causal = true;
  ModelMode mode = ModelMode::kGeneration;

  std::uint64_t split_count = 0;  // > 1: this file is one shard of several
  std::uint64_t tensor_count = 0;
  std::uint64_t tensor_bytes = 0;
  std::vector<std::uint64_t> block_bytes;  // weights of each layer (offloading decides layer by layer)
  std::uint64_t embedding_bytes = 0;       // token_embd
  std::uint64_t output_bytes = 0;          // output head and norm
  std::uint64_t data_offset = 0;           // where tensor data starts
  std::uint64_t file_bytes = 0;

  friend bool operator==(const GgufFacts&, const GgufFacts&) = default;
};

// Reads and checks the header, and that the data section lies within the file. Trusts no count, length or offset:
// memory use is bounded by what is kept, time by the size of the header (at most 1 GiB). Errors are kMalformed
// (corrupt, cut short, not GGUF at all) or kUnsupported (version 1, big endian, unknown tensor type) and say what to
// do.
Result<GgufFacts> read_gguf(const std::filesystem::path& path);
// The same for an open file; `path` is only for messages.
Result<GgufFacts> read_gguf(int fd, const std::filesystem::path& path);
// The same from the first bytes of a file of `file_size` bytes, which must hold the whole header.
Result<GgufFacts> parse_gguf(std::span<const std::byte> head, std::uint64_t file_size);

}  // namespace llm::models
