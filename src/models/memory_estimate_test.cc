#include "models/memory_estimate.h"

#include <gtest/gtest.h>

namespace llm::models {
namespace {

// SmolLM2-135M-Instruct Q4_1.
GgufFacts smollm2() {
  GgufFacts facts;
  facts.context_length = 8192;
  facts.embedding_length = 576;
  facts.feed_forward_length = 1536;
  facts.block_count = 30;
  facts.head_count = 9;
  facts.head_count_kv = 3;
  facts.head_count_kv_sum = 90;
  facts.key_length = facts.value_length = 64;
  facts.vocab_size = 49152;
  facts.tensor_bytes = 96'576'768;
  return facts;
}

constexpr std::uint64_t kMiB = 1u << 20;

// The numbers of llama-server's own log for these plans.
TEST(MemoryEstimate, AgreesWithTheEngine) {
  EXPECT_EQ(estimate_memory(smollm2(), {})->kv_cache, 180 * kMiB);
  EXPECT_EQ(estimate_memory(smollm2(), {.context = 8192})->kv_cache, 180 * kMiB);
  EXPECT_EQ(estimate_memory(smollm2(), {.context = 2048, .parallel = 4})->kv_cache, 45 * kMiB);
  EXPECT_EQ(estimate_memory(smollm2(), {.cache_type_k = "q8_0", .cache_type_v = "Q8_0"})->kv_cache, 765 * kMiB / 8);
  const auto whole = estimate_memory(smollm2(), {.context = 2048});
  EXPECT_NEAR(static_cast<double>(whole->total), 188.5 * kMiB, 1.0 * kMiB);
  EXPECT_EQ(whole->total, whole->weights + whole->kv_cache + whole->compute);
}

TEST(MemoryEstimate, GrowsWithThePlan) {
  const auto base = estimate_memory(smollm2(), {.context = 4096})->total;
  EXPECT_GT(estimate_memory(smollm2(), {.context = 8192})->total, base);
  EXPECT_GT(estimate_memory(smollm2(), {.context = 4096, .ubatch = 1024})->total, base);
  EXPECT_GT(estimate_memory(smollm2(), {.context = 4096, .flash_attention = false})->total, base);
  EXPECT_LT(estimate_memory(smollm2(), {.context = 4096, .cache_type_k = "q4_0"})->total, base);
  // The context is given to sequences in steps of 256 tokens.
  EXPECT_EQ(estimate_memory(smollm2(), {.context = 1})->kv_cache,
            estimate_memory(smollm2(), {.context = 256})->kv_cache);
}

TEST(MemoryEstimate, OffloadMovesLayersAndTheirCache) {
  const auto whole = *estimate_memory(smollm2(), {.context = 2048});
  EXPECT_EQ(split_offload(whole, smollm2(), 0).host, whole);
  EXPECT_EQ(split_offload(whole, smollm2(), 0).devices, MemoryEstimate{});
  const auto half = split_offload(whole, smollm2(), 15);
  EXPECT_EQ(half.devices.kv_cache, whole.kv_cache / 2);
  EXPECT_EQ(half.host.kv_cache + half.devices.kv_cache, whole.kv_cache);
  EXPECT_EQ(half.host.weights + half.devices.weights, whole.weights);
  EXPECT_LT(half.devices.weights, whole.weights / 2);  // 15 of 31 layers
  const auto all = split_offload(whole, smollm2(), 1000);
  EXPECT_EQ(all.devices.weights, whole.weights);
  EXPECT_EQ(all.host.kv_cache, 0U);
  EXPECT_EQ(all.devices.total, whole.total + 320 * kMiB);
  EXPECT_EQ(layer_count(smollm2()), 31U);
  const MemoryEstimate huge{.weights = UINT64_MAX, .kv_cache = UINT64_MAX, .compute = 1, .total = UINT64_MAX};
  EXPECT_EQ(split_offload(huge, smollm2(), 31).devices.total, UINT64_MAX);
}

TEST(MemoryEstimate, SaturatesAndRefuses) {
  GgufFacts facts = smollm2();
  facts.head_count_kv_sum = UINT64_MAX / 2;
  EXPECT_EQ(estimate_memory(facts, {})->total, UINT64_MAX);
  EXPECT_EQ(estimate_memory(smollm2(), {.context = UINT64_MAX})->total, UINT64_MAX);
  EXPECT_FALSE(estimate_memory(smollm2(), {.parallel = 0}));
  EXPECT_FALSE(estimate_memory(smollm2(), {.ubatch = 0}));
  EXPECT_EQ(estimate_memory(smollm2(), {.cache_type_v = "q3"}).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace llm::models
