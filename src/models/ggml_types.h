#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace llm::models {

// How a tensor type lays out its elements: `block_elements` of them take `block_bytes` bytes.
struct GgmlType {
  std::uint32_t id;
  std::string_view name;  // as model files spell it: "Q4_K", "BF16"
  std::uint32_t block_elements;
  std::uint32_t block_bytes;
};

// nullptr for ids that no GGUF file uses (any more): the pre-packed Q4_0 and IQ4_NL variants were withdrawn.
const GgmlType* find_ggml_type(std::uint32_t id);
// By name, case-insensitively ("q8_0"), for settings such as the KV cache's type; nullptr if unknown.
const GgmlType* find_ggml_type(std::string_view name);

// The text of `general.file_type` ("Q4_K_M"); empty if unknown.
std::string_view file_type_name(std::uint64_t file_type);

}  // namespace llm::models
