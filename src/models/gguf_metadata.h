#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "models/gguf.h"
#include "models/gguf_cursor.h"

namespace llm::models {

// The key-value section of a GGUF header: walks all of it, keeps only what GgufFacts needs.
class GgufMetadata {
 public:
  explicit GgufMetadata(GgufCursor& cursor) : cursor_(cursor) {}

  Result<void> read(std::uint64_t count);
  // Fills everything of `facts` that does not come from the tensor list; `alignment()` is valid afterwards.
  Result<void> conclude(GgufFacts& facts);
  std::uint64_t alignment() const { return alignment_; }
  // general.file_type, or the largest number if absent.
  std::uint64_t file_type() const { return file_type_; }

 private:
  Result<void> read_pair();
  Result<void> read_value(const std::string& key, std::uint64_t type);
  Result<void> read_array(const std::string& key);
  Result<void> take_number(const std::string& key, std::uint64_t type);
  Result<void> take_text(const std::string& key);
  // Numbers of `<architecture>.<suffix>`: one for the model, or one per layer.
  std::vector<std::uint64_t> numbers(std::string_view suffix) const;
  std::uint64_t first(std::string_view suffix, std::uint64_t fallback = 0) const;
  void conclude_attention(GgufFacts& facts) const;
  void conclude_mode(GgufFacts& facts) const;

  GgufCursor& cursor_;
  std::map<std::string, std::vector<std::uint64_t>, std::less<>> numbers_;
  std::map<std::string, GgufCursor::Text, std::less<>> texts_;
  std::uint64_t alignment_ = 32;
  std::uint64_t file_type_ = ~std::uint64_t{0};
  std::uint64_t vocab_size_ = 0;
  std::uint64_t split_count_ = 0;
  bool has_classifier_ = false;
};

}  // namespace llm::models
