#include "models/gguf_metadata.h"

#include <algorithm>
#include <array>
#include <bit>
#include <fmt/format.h>
#include <numeric>
#include <span>

#include "base/strings.h"

namespace llm::models {

namespace {

constexpr std::uint64_t kMaxKeyBytes = 65535;  // docs/gguf.md
constexpr std::uint64_t kMaxStringBytes = 64u << 20;
constexpr std::uint64_t kMaxTemplateBytes = 256u << 10;
constexpr std::uint64_t kMaxShortText = 512;
constexpr std::uint64_t kMaxBlocks = 65536;
constexpr std::uint64_t kMaxHeaderBytes = 1u << 30;
constexpr std::size_t kMaxKeptKeys = 64;

enum ValueType : std::uint64_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64
};

// Bytes of one value, 0 for strings, arrays and unknown types.
std::size_t scalar_size(std::uint64_t type) {
  constexpr std::array<std::size_t, 13> kSizes{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < kSizes.size() ? kSizes[type] : 0;
}

bool is_integer(std::uint64_t type) {
  return scalar_size(type) != 0 && type != kFloat32 && type != kFloat64;
}
bool is_signed(std::uint64_t type) {
  return type == kInt8 || type == kInt16 || type == kInt32 || type == kInt64;
}

// What follows the architecture's name in the keys we read.
constexpr auto kSuffixes = std::to_array<std::string_view>({
    ".context_length",
    ".embedding_length",
    ".feed_forward_length",
    ".expert_feed_forward_length",
    ".block_count",
    ".attention.head_count",
    ".attention.head_count_kv",
    ".attention.key_length",
    ".attention.value_length",
    ".attention.sliding_window",
    ".attention.causal",
    ".expert_count",
    ".expert_used_count",
    ".pooling_type",
    ".vocab_size",
    ".ssm.conv_kernel",
    ".ssm.inner_size",
    ".ssm.state_size",
    ".ssm.group_count",
});

constexpr auto kTextKeys = std::to_array<std::string_view>(
    {"general.architecture", "general.type", "general.name", "general.license", "tokenizer.chat_template"});

// Encoders whose output is an embedding, never the next token.
constexpr auto kEmbeddingArchitectures =
    std::to_array<std::string_view>({"bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2",
                                     "jina-bert-v3", "eurobert", "gte", "gemma-embedding", "llama-embed", "t5encoder"});

bool contains(std::span<const std::string_view> list, std::string_view text) {
  return std::ranges::find(list, text) != list.end();
}

bool wanted_number(std::string_view key) {
  if (key == "general.file_type" || key == "general.alignment" || key == "split.count") return true;
  // The suffix starts at the first dot: architectures have none in their name.
  const auto dot = key.find('.');
  return dot != std::string_view::npos && contains(kSuffixes, key.substr(dot));
}

// A text from the file as we may print it: valid UTF-8, at most `limit` bytes; else empty.
std::string clean(std::string text, std::uint64_t limit) {
  if (text.size() > limit) text.resize(static_cast<std::size_t>(limit));
  text.resize(utf8_complete_prefix(text));
  return valid_utf8(text) ? text : std::string();
}

std::uint64_t largest(const std::vector<std::uint64_t>& values) {
  return values.empty() ? 0 : std::ranges::max(values);
}

}  // namespace

Result<void> GgufMetadata::read(std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    if (auto ok = read_pair(); !ok) return ok;
    if (cursor_.offset() > kMaxHeaderBytes) {
      return fail(ErrorCode::kMalformed, fmt::format("the header is larger than {}", format_bytes(kMaxHeaderBytes)));
    }
  }
  return {};
}

Result<void> GgufMetadata::read_pair() {
  auto key = cursor_.text(kMaxKeyBytes, kMaxKeyBytes, "metadata key");
  if (!key) return fail(std::move(key.error()));
  const std::uint64_t at = cursor_.offset();
  const auto type = cursor_.number(4, "metadata type");
  if (!type) return fail(type.error());
  if (*type > kFloat64) {
    return fail(ErrorCode::kMalformed, fmt::format("unknown metadata type {} at byte {}", *type, at));
  }
  return read_value(key->bytes, *type);
}

Result<void> GgufMetadata::read_value(const std::string& key, std::uint64_t type) {
  if (type == kArray) return read_array(key);
  if (type == kString) return take_text(key);
  if (is_integer(type) && wanted_number(key)) return take_number(key, type);
  return cursor_.skip(scalar_size(type), "metadata value");
}

Result<void> GgufMetadata::take_text(const std::string& key) {
  const bool wanted = contains(kTextKeys, key);
  const std::uint64_t keep = !wanted ? 0 : key == "tokenizer.chat_template" ? kMaxTemplateBytes : kMaxShortText;
  auto text = cursor_.text(keep, kMaxStringBytes, "metadata string");
  if (!text) return fail(std::move(text.error()));
  if (wanted) texts_.insert_or_assign(key, std::move(*text));
  return {};
}

Result<void> GgufMetadata::take_number(const std::string& key, std::uint64_t type) {
  const std::uint64_t at = cursor_.offset();
  const std::size_t size = scalar_size(type);
  const auto raw = cursor_.number(size, "metadata value");
  if (!raw) return fail(raw.error());
  const bool negative = is_signed(type) && (*raw >> (8 * size - 1)) != 0;
  if (negative || *raw > UINT32_MAX) {
    return fail(ErrorCode::kMalformed, fmt::format("{} at byte {} is out of range", clean(key, 128), at));
  }
  if (key == "general.file_type") {
    file_type_ = *raw;
  } else if (key == "split.count") {
    split_count_ = *raw;
  } else if (key == "general.alignment") {
    if (!std::has_single_bit(*raw)) {
      return fail(ErrorCode::kMalformed, fmt::format("alignment {} at byte {} is not a power of two", *raw, at));
    }
    alignment_ = *raw;
  } else if (numbers_.size() < kMaxKeptKeys || numbers_.contains(key)) {
    if (auto& kept = numbers_[key]; kept.size() < kMaxBlocks) kept.push_back(*raw);
  }
  return {};
}

Result<void> GgufMetadata::read_array(const std::string& key) {
  const std::uint64_t at = cursor_.offset();
  const auto type = cursor_.number(4, "array type");
  if (!type) return fail(type.error());
  const auto count = cursor_.number(8, "array length");
  if (!count) return fail(count.error());
  const std::size_t size = *type == kString ? 8 : scalar_size(*type);
  if (size == 0) {
    return fail(ErrorCode::kMalformed, fmt::format("array of unknown or nested type {} at byte {}", *type, at));
  }
  if (*count > cursor_.remaining() / size) {
    return fail(ErrorCode::kMalformed,
                fmt::format("array at byte {} claims {} elements, but only {} bytes follow; the file is cut short or "
                            "corrupt: get it again",
                            at, *count, cursor_.remaining()));
  }
  if (key == "tokenizer.ggml.tokens") vocab_size_ = *count;
  if (key.ends_with(".classifier.output_labels") && *count > 0) has_classifier_ = true;
  if (*type == kString) {
    for (std::uint64_t i = 0; i < *count; ++i) {
      if (auto text = cursor_.text(0, kMaxStringBytes, "array string"); !text) return fail(std::move(text.error()));
      if (cursor_.offset() > kMaxHeaderBytes) break;  // read() reports it
    }
    return {};
  }
  if (is_integer(*type) && wanted_number(key) && key.find('.') != std::string::npos && !key.starts_with("general.") &&
      !key.starts_with("split.") && *count <= kMaxBlocks) {
    for (std::uint64_t i = 0; i < *count; ++i) {
      if (auto ok = take_number(key, *type); !ok) return ok;
    }
    return {};
  }
  return cursor_.skip(*count * size, "array");
}

std::vector<std::uint64_t> GgufMetadata::numbers(std::string_view suffix) const {
  const auto architecture = texts_.find("general.architecture");
  if (architecture == texts_.end()) return {};
  const auto found = numbers_.find(architecture->second.bytes + std::string(suffix));
  return found == numbers_.end() ? std::vector<std::uint64_t>() : found->second;
}

std::uint64_t GgufMetadata::first(std::string_view suffix, std::uint64_t fallback) const {
  const auto values = numbers(suffix);
  return values.empty() ? fallback : values.front();
}

void GgufMetadata::conclude_attention(GgufFacts& facts) const {
  const auto heads = numbers(".attention.head_count");
  auto kv = numbers(".attention.head_count_kv");
  if (kv.empty()) kv = heads;
  facts.head_count = largest(heads);
  facts.head_count_kv = largest(kv);
  if (kv.size() == 1) kv.assign(static_cast<std::size_t>(facts.block_count), kv.front());
  if (kv.size() > facts.block_count) kv.resize(static_cast<std::size_t>(facts.block_count));
  facts.head_count_kv_sum = std::accumulate(kv.begin(), kv.end(), std::uint64_t{0});
  const std::uint64_t per_head = facts.head_count == 0 ? 0 : facts.embedding_length / facts.head_count;
  facts.key_length = first(".attention.key_length", per_head);
  facts.value_length = first(".attention.value_length", per_head);

  // A recurrent layer keeps, as 32-bit floats, its last (kernel - 1) convolution inputs and its state.
  const std::uint64_t inner = first(".ssm.inner_size");
  const std::uint64_t state = first(".ssm.state_size");
  const std::uint64_t kernel = first(".ssm.conv_kernel");
  const auto attention_layers =
      facts.head_count == 0 ? 0 : static_cast<std::uint64_t>(std::ranges::count_if(kv, [](auto n) { return n > 0; }));
  const unsigned __int128 per_layer =
      (static_cast<unsigned __int128>(inner) * state +
       static_cast<unsigned __int128>(kernel > 0 ? kernel - 1 : 0) *
           (inner + static_cast<unsigned __int128>(2) * first(".ssm.group_count") * state)) *
      sizeof(float);
  // Where the file does not say which layers are recurrent, all of them are counted.
  const std::uint64_t recurrent =
      attention_layers < facts.block_count ? facts.block_count - attention_layers : facts.block_count;
  const unsigned __int128 limit = UINT64_MAX;
  facts.recurrent_state_bytes = per_layer > limit / std::max<std::uint64_t>(recurrent, 1)
                                    ? UINT64_MAX
                                    : static_cast<std::uint64_t>(per_layer * recurrent);
}

void GgufMetadata::conclude_mode(GgufFacts& facts) const {
  const bool encoder = contains(kEmbeddingArchitectures, facts.architecture);
  const auto causal = numbers(".attention.causal");
  facts.has_encoder = encoder || facts.architecture == "t5";
  facts.causal = causal.empty() ? !encoder : causal.front() != 0;
  if (const auto pooling = numbers(".pooling_type"); !pooling.empty()) facts.pooling_type = pooling.front();
  const bool pooled = facts.pooling_type && *facts.pooling_type != static_cast<std::uint64_t>(Pooling::kNone);
  // An embedding model made from a decoder (Qwen3-Embedding) keeps causal attention but names a pooling; a file that
  // says outright that it is causal and pooled is taken for a generator.
  const bool says_causal = !causal.empty() && causal.front() != 0;
  if (facts.pooling_type == static_cast<std::uint64_t>(Pooling::kRank) || has_classifier_) {
    facts.mode = ModelMode::kRerank;
  } else if (encoder || (pooled && !says_causal)) {
    facts.mode = ModelMode::kEmbedding;
  }
}

Result<void> GgufMetadata::conclude(GgufFacts& facts) {
  const auto text = [this](std::string_view key, std::uint64_t limit) {
    const auto found = texts_.find(key);
    return found == texts_.end() ? std::string() : clean(found->second.bytes, limit);
  };
  facts.architecture = text("general.architecture", kMaxShortText);
  if (facts.architecture.empty() || facts.architecture.size() > 64) {
    return fail(ErrorCode::kMalformed, "the file does not name its architecture (general.architecture)");
  }
  facts.type = text("general.type", 64);
  facts.name = text("general.name", kMaxShortText);
  facts.license = text("general.license", kMaxShortText);
  facts.chat_template = text("tokenizer.chat_template", kMaxTemplateBytes);
  const auto chat = texts_.find("tokenizer.chat_template");
  facts.chat_template_cut = chat != texts_.end() && !chat->second.complete;
  facts.block_count = first(".block_count");
  if (facts.block_count > kMaxBlocks) {
    return fail(ErrorCode::kMalformed, fmt::format("{} layers; at most {}", facts.block_count, kMaxBlocks));
  }
  facts.context_length = first(".context_length");
  facts.embedding_length = first(".embedding_length");
  facts.sliding_window = first(".attention.sliding_window");
  facts.expert_count = first(".expert_count");
  facts.expert_used_count = first(".expert_used_count");
  facts.feed_forward_length = std::max(largest(numbers(".feed_forward_length")),
                                       first(".expert_feed_forward_length") * facts.expert_used_count);
  facts.vocab_size = vocab_size_ != 0 ? vocab_size_ : first(".vocab_size");
  facts.split_count = split_count_;
  conclude_attention(facts);
  conclude_mode(facts);
  return {};
}

}  // namespace llm::models
