#include "engines/memory_planner.h"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <stdlib.h>

namespace llm::engines {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kGiB = 1ULL << 30;
using Indexes = std::vector<std::uint32_t>;

Gpu gpu(std::uint32_t index, std::uint64_t gib, std::uint64_t used_gib = 0) {
  return {.index = index, .name = "card", .memory_total = gib * kGiB, .memory_used = used_gib * kGiB, .measured = true};
}

// 32 layers; `gib` GiB of weights, and 1 GiB of KV cache for 4 x 8192 tokens.
EngineSpec llama(std::uint64_t gib) {
  EngineSpec spec;
  spec.key = spec.model = "m";
  spec.settings.cache_ram.bytes = 0;
  spec.settings.context = 8192;
  spec.facts.tensor_bytes = gib * kGiB;
  spec.facts.block_count = 31;
  spec.facts.context_length = 8192;
  spec.facts.head_count_kv_sum = 64;
  spec.facts.key_length = spec.facts.value_length = 128;
  return spec;
}
EngineSpec vllm(std::uint32_t tensor_parallel = 1) {
  EngineSpec spec;
  spec.key = spec.model = "v";
  spec.vllm.emplace();
  spec.vllm->tensor_parallel_size = tensor_parallel;
  spec.vllm->gpu_memory_utilization = 0.5;
  return spec;
}

class PlannerTest : public ::testing::Test {
 protected:
  MachineMemory machine_{.host = {64 * kGiB, 64 * kGiB}, .gpus = {}};
  MemoryLedger ledger_{0};
  LearnedMemory learned_{{}};
  MemoryPlanner planner_{ledger_, learned_, true};
};

TEST_F(PlannerTest, EachPurposeIsALine) {
  auto spec = llama(4);
  spec.settings.cache_ram.bytes = kGiB / 2;
  const auto load = planner_.plan(spec, machine_, {});
  ASSERT_EQ(load->memory.lines.size(), 4U);
  EXPECT_THAT(load->memory.text(), HasSubstr("weights 4.0 GiB, kv_cache 1.0 GiB, compute "));
  EXPECT_THAT(load->memory.text(), HasSubstr("host_cache 512"));
  EXPECT_TRUE(load->memory.total().devices.empty());
  EXPECT_TRUE(load->fits());
}

TEST_F(PlannerTest, OffloadsToAsFewGpusAsHoldIt) {
  machine_.gpus = {gpu(0, 12), gpu(1, 12), gpu(2, 12)};
  ledger_.observe(machine_);
  const auto one = planner_.choose(llama(4), machine_, {});
  EXPECT_EQ(planner_.plan(one->spec, machine_, {})->spec.gpus, Indexes{0});
  const auto two = planner_.plan(llama(16), machine_, {});
  EXPECT_EQ(two->spec.gpus, (Indexes{0, 1}));
  const auto demand = two->memory.total();
  EXPECT_LT(demand.host, kGiB);
  EXPECT_GT(demand.devices.at(0), 17 * kGiB / 2);
  EXPECT_LT(demand.devices.at(0), 12 * kGiB);
  auto none = llama(4);
  none.settings.gpu_layers = 0;
  EXPECT_TRUE(planner_.plan(none, machine_, {})->memory.total().devices.empty());
  const MemoryPlanner cpu_only(ledger_, learned_, false);
  EXPECT_TRUE(cpu_only.plan(llama(4), machine_, {})->memory.total().devices.empty());
}

TEST_F(PlannerTest, AsManyLayersAsFit) {
  machine_.gpus = {gpu(0, 8, 2)};
  ledger_.observe(machine_);
  const auto load = planner_.choose(llama(16), machine_, {});
  ASSERT_TRUE(load->fits());
  EXPECT_GE(load->spec.settings.gpu_layers, 8);
  EXPECT_LE(load->spec.settings.gpu_layers, 12);
  auto more = load->spec;
  ++more.settings.gpu_layers;
  EXPECT_FALSE(planner_.plan(more, machine_, {})->fits());
  EXPECT_EQ(load->spec.settings.context, 8192U);
  auto fixed = llama(16);
  fixed.settings.gpu_layers = 20;  // the user's word
  EXPECT_FALSE(planner_.choose(fixed, machine_, {})->fits());
}

TEST_F(PlannerTest, VllmTakesItsShareOfEachGpu) {
  machine_.gpus = {gpu(0, 80), gpu(1, 80, 60), gpu(2, 80)};
  ledger_.observe(machine_);
  auto load = planner_.plan(vllm(2), machine_, {});
  EXPECT_EQ(load->spec.gpus, (Indexes{0, 2}));
  const std::map<std::uint32_t, std::uint64_t> both{{0, 40 * kGiB}, {2, 40 * kGiB}};
  EXPECT_EQ(load->memory.total().devices, both);
  EXPECT_EQ(load->memory.total().host, 2 * kGiB);
  load = planner_.plan(vllm(3), machine_, {});
  EXPECT_EQ(load->missing.devices, (std::map<std::uint32_t, std::uint64_t>{{1, 20 * kGiB}}));
  EXPECT_THAT(load->no_gpu, HasSubstr("2 of 3 have room"));
  EXPECT_EQ(planner_.plan(vllm(4), machine_, {}).error().code, ErrorCode::kInsufficientMemory);
  auto elsewhere = vllm();
  elsewhere.vllm->runtime = VllmRuntime::kRemote;
  EXPECT_TRUE(planner_.plan(elsewhere, machine_, {})->memory.lines.empty());
}

TEST_F(PlannerTest, VllmWithoutGpusKeepsItsCacheOnTheHost) {
  auto spec = vllm();
  EXPECT_EQ(planner_.plan(spec, machine_, {})->memory.total().host, kGiB);  // nobody knows what GPUs there are
  spec.vllm->container.gpus = false;
  EXPECT_EQ(planner_.plan(spec, machine_, {})->memory.total().host, 5 * kGiB);
  spec.vllm->environment["VLLM_CPU_KVCACHE_SPACE"] = "2";
  EXPECT_EQ(planner_.plan(spec, machine_, {})->memory.total().host, 3 * kGiB);
}

MemoryPlan plan_of(std::uint64_t weights, std::uint64_t cache) {
  MemoryPlan plan;
  plan.add(std::nullopt, MemoryKind::kWeights, weights);
  plan.add(std::nullopt, MemoryKind::kHostCache, cache);
  return plan;
}

TEST(LearnedMemory, ScalesTheNextEstimate) {
  LearnedMemory learned({});
  const auto spec = llama(1);
  const auto plan = plan_of(1000, 500);
  const auto next = [&] { return learned.corrected(spec, plan).total().host; };
  learned.learn(spec, plan, {.host = 800}, false);
  EXPECT_EQ(next(), 1500U);  // less, but it has not worked yet
  learned.learn(spec, plan, {.host = 800}, true);
  EXPECT_EQ(next(), 1300U);
  learned.learn(spec, plan, {.host = 1200}, true);  // the cache is filling
  EXPECT_EQ(next(), 1500U);
  learned.learn(spec, plan, {.host = 2000}, false);
  EXPECT_EQ(next(), 2000U);
  learned.learn(spec, plan, {.host = 1'000'000}, true);
  EXPECT_EQ(next(), 4500U);  // four times at the most
  auto other = spec;
  other.settings.context = 1;
  EXPECT_EQ(learned.corrected(other, plan), plan);
  auto replica = spec;
  replica.key = "m#3";
  replica.replica = 3;
  EXPECT_EQ(learned.corrected(replica, plan).total().host, 4500U);
  learned.learn(other, plan, {}, true);  // nothing was measured
  EXPECT_EQ(learned.corrected(other, plan), plan);
}

TEST(LearnedMemory, IsKeptInAFile) {
  std::string pattern = (std::filesystem::temp_directory_path() / "llm-learned-XXXXXX").string();
  const std::filesystem::path folder = ::mkdtemp(pattern.data());
  const auto file = folder / "memory.json";
  const auto plan = plan_of(1000, 0);
  {
    LearnedMemory learned(file);
    learned.learn(llama(1), plan, {.host = 1500}, true);
    learned.placed("v", {1, 2});
    EXPECT_TRUE(learned.save());
  }
  {
    const LearnedMemory learned(file);
    EXPECT_EQ(learned.corrected(llama(1), plan).total().host, 1500U);
    EXPECT_EQ(learned.last_placement("v"), (Indexes{1, 2}));
    EXPECT_TRUE(learned.last_placement("other").empty());
  }
  std::ofstream(file) << R"({"factors":{"x":3,"m":{"host":1e300}},"gpus":{"v":["a",-1,4],"w":2}})";
  EXPECT_EQ(LearnedMemory(file).last_placement("v"), Indexes{4});
  std::ofstream(file) << "not JSON";
  EXPECT_TRUE(LearnedMemory(file).last_placement("v").empty());
  LearnedMemory nowhere(folder / "absent" / "memory.json");
  nowhere.placed("v", {1});
  EXPECT_FALSE(nowhere.save());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace llm::engines
