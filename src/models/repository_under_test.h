#pragma once
// For the tests of this layer only: the files of a small made-up repository.

#include <cstdint>
#include <string>

#include "models/test_support.h"

namespace llm::models::testing {

// A safetensors file with one tensor of `elements` BF16 numbers.
inline std::string small_safetensors(char filler, std::uint64_t elements = 8) {
  const std::string header = "{\"w\":{\"dtype\":\"BF16\",\"shape\":[" + std::to_string(elements) +
                             "],\"data_offsets\":[0," + std::to_string(elements * 2) + "]}}";
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(header.size() >> (8 * i));
  return out + header + std::string(elements * 2, filler);
}

inline constexpr const char* kSmallConfig =
    R"({"architectures":["LlamaForCausalLM"],"max_position_embeddings":4096,"hidden_size":64,"num_hidden_layers":2,)"
    R"("num_attention_heads":4,"num_key_value_heads":2,"vocab_size":100})";

// Written under `folder`, relative to the temporary folder.
inline void write_repository(const TempDir& dir, const std::string& folder, std::uint64_t elements = 8) {
  dir.write(folder + "/config.json", kSmallConfig);
  dir.write(folder + "/tokenizer.json", "{}");
  dir.write(folder + "/tokenizer_config.json", R"({"chat_template":"{{ messages }}"})");
  dir.write(folder + "/model-00001-of-00002.safetensors", small_safetensors('1', elements));
  dir.write(folder + "/model-00002-of-00002.safetensors", small_safetensors('2', elements));
  dir.write(folder + "/model.safetensors.index.json", R"({"weight_map":{}})");
  dir.write(folder + "/1_Pooling/config.json", "{}");
  dir.write(folder + "/LICENSE", "do what you like");
  dir.write(folder + "/README.md", "# tiny");
  dir.write(folder + "/modeling_tiny.py", "print('never fetched unless asked for')");
  dir.write(folder + "/pytorch_model.bin", "pickle");
  dir.write(folder + "/original/model.safetensors", small_safetensors('o'));
  dir.write(folder + "/.gitattributes", "hidden");
}

}  // namespace llm::models::testing
