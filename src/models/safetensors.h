#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "base/error.h"

namespace llm::models {

// What the header of a safetensors file says (format: 8 bytes with the length of a JSON header, the header, the data).
struct SafetensorsFacts {
  std::uint64_t tensors = 0;
  std::uint64_t parameters = 0;  // elements of all tensors
  std::uint64_t bytes = 0;       // of all tensors
  std::string dominant_type;     // the type most bytes have: "BF16"
};

// Reads and checks the header: at most 16 MiB, every tensor within the file, its size that of its shape and type.
// kMalformed says what is wrong. `path` is for messages.
Result<SafetensorsFacts> read_safetensors(int fd, const std::filesystem::path& path);
// The same from the first bytes of a file of `file_size` bytes, which must hold the whole header.
Result<SafetensorsFacts> parse_safetensors(std::span<const std::byte> head, std::uint64_t file_size);

}  // namespace llm::models
