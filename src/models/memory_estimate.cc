#include "models/memory_estimate.h"

#include <algorithm>
#include <fmt/format.h>

#include "models/ggml_types.h"

namespace llm::models {

namespace {

constexpr std::uint64_t kContextStep = 256;
constexpr std::uint64_t kProcessBytes = 24u << 20;
constexpr std::uint64_t kTokenizerBytesPerToken = 256;
constexpr std::uint64_t kGpuRuntimeBytes = 320u << 20;

// An unsigned number that stays at its maximum instead of wrapping: the header's numbers are the file's claim.
class Bytes {
 public:
  Bytes(std::uint64_t value) : value_(value) {}  // NOLINT(google-explicit-constructor): numbers mix freely
  std::uint64_t value() const { return value_; }
  friend Bytes operator+(Bytes a, Bytes b) {
    std::uint64_t sum = 0;
    return __builtin_add_overflow(a.value_, b.value_, &sum) ? UINT64_MAX : sum;
  }
  friend Bytes operator*(Bytes a, Bytes b) {
    std::uint64_t product = 0;
    return __builtin_mul_overflow(a.value_, b.value_, &product) ? UINT64_MAX : product;
  }

 private:
  std::uint64_t value_;
};

Result<const GgmlType*> cache_type(const std::string& name, std::string_view field) {
  const GgmlType* type = find_ggml_type(std::string_view(name));
  if (type == nullptr) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("{} `{}` is not a tensor type; use f16, bf16, f32, q8_0, q5_1, q5_0, q4_1 or q4_0", field, name));
  }
  return type;
}

// Bytes of a row of `elements`, rounded up to whole blocks.
Bytes row_bytes(const GgmlType& type, Bytes elements) {
  const std::uint64_t count = elements.value();
  const std::uint64_t blocks = count / type.block_elements + (count % type.block_elements != 0 ? 1 : 0);
  return Bytes(blocks) * type.block_bytes;
}

// `value` times `part` / `of`, without an intermediate that wraps; part <= of.
std::uint64_t share(std::uint64_t value, std::uint64_t part, std::uint64_t of) {
  return value / of * part + value % of * part / of;
}

}  // namespace

Result<MemoryEstimate> estimate_memory(const GgufFacts& facts, const LoadPlan& plan) {
  if (plan.parallel == 0 || plan.ubatch == 0) {
    return fail(ErrorCode::kInvalidArgument, "parallel and ubatch must be at least 1");
  }
  const auto type_k = cache_type(plan.cache_type_k, "cache type of keys");
  if (!type_k) return fail(type_k.error());
  const auto type_v = cache_type(plan.cache_type_v, "cache type of values");
  if (!type_v) return fail(type_v.error());

  const std::uint64_t context = plan.context != 0 ? plan.context : facts.context_length;
  const std::uint64_t share = context / plan.parallel + (context % plan.parallel != 0 ? 1 : 0);
  const std::uint64_t per_sequence = (Bytes(share) + (kContextStep - 1)).value() / kContextStep * kContextStep;
  const Bytes tokens = Bytes(per_sequence) * plan.parallel;
  const Bytes ubatch = std::min<std::uint64_t>(plan.ubatch, std::max<std::uint64_t>(tokens.value(), 1));

  const Bytes kv = (row_bytes(**type_k, Bytes(facts.head_count_kv_sum) * facts.key_length) +
                    row_bytes(**type_v, Bytes(facts.head_count_kv_sum) * facts.value_length)) *
                       tokens +
                   Bytes(facts.recurrent_state_bytes) * plan.parallel;

  Bytes per_token =
      Bytes(4) * (Bytes(4) * facts.embedding_length + Bytes(3) * facts.feed_forward_length) + Bytes(2) * per_sequence;
  if (!plan.flash_attention) per_token = per_token + Bytes(4) * (Bytes(facts.head_count) + 1) * per_sequence;
  const Bytes compute = ubatch * per_token + Bytes(4) * plan.parallel * facts.vocab_size + kProcessBytes +
                        Bytes(kTokenizerBytesPerToken) * facts.vocab_size;

  MemoryEstimate estimate;
  estimate.weights = facts.tensor_bytes;
  estimate.kv_cache = kv.value();
  estimate.compute = compute.value();
  estimate.total = (Bytes(estimate.weights) + kv + compute).value();
  return estimate;
}

std::uint64_t layer_count(const GgufFacts& facts) {
  return std::uint64_t{facts.block_count} + 1;
}

OffloadEstimate split_offload(const MemoryEstimate& whole, const GgufFacts& facts, std::uint64_t layers) {
  OffloadEstimate split{.host = whole, .devices = {}};
  if (layers == 0) return split;
  const std::uint64_t all = layer_count(facts);
  const std::uint64_t blocks = std::max<std::uint64_t>(facts.block_count, 1);
  MemoryEstimate& devices = split.devices;
  devices.weights = share(whole.weights, std::min(layers, all), all);
  devices.kv_cache = share(whole.kv_cache, std::min(layers, blocks), blocks);
  devices.compute = (Bytes(whole.compute) + kGpuRuntimeBytes).value();
  split.host.weights -= devices.weights;
  split.host.kv_cache -= devices.kv_cache;
  for (auto* part : {&split.host, &devices}) {
    part->total = (Bytes(part->weights) + part->kv_cache + part->compute).value();
  }
  return split;
}

}  // namespace llm::models
