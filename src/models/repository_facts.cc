#include "models/repository_facts.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>

#include "base/strings.h"
#include "models/safetensors.h"

namespace llm::models {

namespace {

constexpr std::size_t kMaxConfigBytes = 8u << 20;
constexpr std::size_t kMaxTemplateBytes = 256u << 10;

std::uint64_t count_of(const json::object& config, std::string_view key) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, json::int_or(config, key)));
}

// The first of several names that models use for one number.
std::uint64_t first_count(const json::object& config, std::initializer_list<std::string_view> keys) {
  for (const auto key : keys) {
    if (const auto value = count_of(config, key); value > 0) return value;
  }
  return 0;
}

std::string architecture_of(const json::object& config) {
  const json::value* list = json::find(config, "architectures");
  if (list != nullptr && list->is_array() && !list->get_array().empty() && list->get_array().front().is_string()) {
    return std::string(list->get_array().front().get_string());
  }
  return std::string(json::string_or(config, "model_type"));
}

// Class names end in what the model is for.
ModelMode mode_of(std::string_view architecture) {
  if (architecture.contains("ForSequenceClassification")) return ModelMode::kRerank;
  if (architecture.ends_with("Model") || architecture.contains("ForMaskedLM")) return ModelMode::kEmbedding;
  return ModelMode::kGeneration;
}

const json::object* object_in(const json::object& parent, std::string_view key) {
  const json::value* value = json::find(parent, key);
  return value == nullptr ? nullptr : value->if_object();
}

class Files {
 public:
  Files(const ModelStore& store, const std::vector<ManifestFile>& files) : store_(store), files_(files) {}
  // Empty if there is no such file.
  Result<std::string> text(std::string_view path) const {
    const auto file = std::ranges::find(files_, path, &ManifestFile::path);
    if (file == files_.end()) return std::string();
    const auto blob = store_.blob_path(file->digest);
    if (!blob) return fail(blob.error());
    return read_small_file(*blob, kMaxConfigBytes);
  }

 private:
  const ModelStore& store_;
  const std::vector<ManifestFile>& files_;
};

std::string chat_template_of(const Files& files) {
  if (auto text = files.text("chat_template.jinja"); text && !text->empty()) return std::move(*text);
  const auto text = files.text("tokenizer_config.json");
  if (!text || text->empty()) return {};
  const auto document = json::parse(*text);
  return document && document->is_object() ? std::string(json::string_or(document->get_object(), "chat_template"))
                                           : std::string();
}

Result<void> add_weights(const ModelStore& store, const std::vector<ManifestFile>& files, GgufFacts& facts) {
  std::map<std::string, std::uint64_t> by_type;
  for (const auto& file : files) {
    facts.file_bytes += file.size;
    if (!to_lower(file.path).ends_with(".safetensors")) continue;
    const auto blob = store.blob_path(file.digest);
    if (!blob) return fail(blob.error());
    const auto fd = open_regular(*blob, false);
    if (!fd) return fail(fd.error());
    const auto weights = read_safetensors(fd->get(), file.path);
    if (!weights) return fail(weights.error());
    facts.parameters += weights->parameters;
    facts.tensor_count += weights->tensors;
    facts.tensor_bytes += weights->bytes;
    by_type[weights->dominant_type] += weights->bytes;
  }
  const auto most = std::ranges::max_element(by_type, {}, [](const auto& entry) { return entry.second; });
  if (most != by_type.end()) facts.dominant_type = most->first;
  if (facts.quantisation.empty()) facts.quantisation = facts.dominant_type;
  return {};
}

}  // namespace

Result<GgufFacts> facts_of_config(std::string_view text) {
  const auto document = json::parse(text);
  if (!document || !document->is_object()) {
    return fail(ErrorCode::kMalformed, "config.json is not a JSON object; the repository cannot be used");
  }
  const json::object& root = document->get_object();
  // Models that also see or hear keep the language model's numbers in a part of their own.
  const json::object* inner = object_in(root, "text_config");
  const json::object& config = inner != nullptr ? *inner : root;
  GgufFacts facts;
  facts.architecture = architecture_of(root);
  facts.type = "model";
  facts.mode = mode_of(facts.architecture);
  facts.context_length = first_count(config, {"max_position_embeddings", "n_positions", "max_seq_len", "seq_length"});
  facts.embedding_length = first_count(config, {"hidden_size", "n_embd", "d_model"});
  facts.feed_forward_length = first_count(config, {"intermediate_size", "n_inner", "ffn_dim"});
  facts.block_count = first_count(config, {"num_hidden_layers", "n_layer", "num_layers"});
  facts.head_count = first_count(config, {"num_attention_heads", "n_head"});
  facts.head_count_kv = first_count(config, {"num_key_value_heads"});
  if (facts.head_count_kv == 0) facts.head_count_kv = facts.head_count;
  if (__builtin_mul_overflow(facts.head_count_kv, facts.block_count, &facts.head_count_kv_sum)) {
    facts.head_count_kv_sum = 0;
  }
  facts.key_length = first_count(config, {"head_dim"});
  if (facts.key_length == 0 && facts.head_count > 0) facts.key_length = facts.embedding_length / facts.head_count;
  facts.value_length = facts.key_length;
  facts.sliding_window = count_of(config, "sliding_window");
  facts.expert_count = first_count(config, {"num_local_experts", "num_experts", "n_routed_experts"});
  facts.expert_used_count = count_of(config, "num_experts_per_tok");
  facts.vocab_size = count_of(config, "vocab_size");
  if (const auto* quantised = object_in(root, "quantization_config")) {
    facts.quantisation = json::string_or(*quantised, "quant_method");
  }
  return facts;
}

Result<GgufFacts> repository_facts(const ModelStore& store, const std::vector<ManifestFile>& files) {
  const Files reader(store, files);
  const auto config = reader.text("config.json");
  if (!config) return fail(config.error());
  auto facts = facts_of_config(*config);
  if (!facts) return facts;
  facts->chat_template = chat_template_of(reader);
  if (facts->chat_template.size() > kMaxTemplateBytes) {
    facts->chat_template.resize(
        utf8_complete_prefix(std::string_view(facts->chat_template).substr(0, kMaxTemplateBytes)));
    facts->chat_template_cut = true;
  }
  if (auto ok = add_weights(store, files, *facts); !ok) return fail(std::move(ok.error()));
  return facts;
}

}  // namespace llm::models
