// What one choice costs: clock, policy, breaker check, counting in and out. The second argument is the number of
// replicas.
//   cmake --preset release -DLLM_MCP_BENCHMARKS=ON && ninja -C build/release pool_bench && build/release/pool_bench
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <random>

#include "router/pool.h"

namespace llm::router {
namespace {

constexpr std::size_t kConversations = 64;

std::vector<std::shared_ptr<Replica>> replicas_of(std::int64_t count) {
  std::vector<std::shared_ptr<Replica>> replicas;
  for (std::int64_t i = 0; i < count; ++i) {
    replicas.push_back(std::make_shared<Replica>(fmt::format("model:latest#{}", i),
                                                 ReplicaOptions{.priority = static_cast<std::int32_t>(i % 4),
                                                                .cost = static_cast<double>(i % 4),
                                                                .slow_start = std::chrono::milliseconds(0)}));
  }
  return replicas;
}

// Conversations of 128 blocks (32 KiB of text) each that have been seen before, and some load everywhere.
void choose(benchmark::State& state) {
  const auto policy = static_cast<Policy>(state.range(0));
  Pool pool({.policy = policy, .seed = 1}, replicas_of(state.range(1)));
  std::mt19937_64 random(1);
  std::vector<std::vector<std::uint64_t>> prompts(kConversations, std::vector<std::uint64_t>(128));
  for (auto& prompt : prompts) {
    for (auto& block : prompt) block = random();
    (void)pool.pick({.blocks = prompt});
  }
  std::vector<Pick> load;
  for (std::int64_t i = 0; i < 2 * state.range(1); ++i) {
    load.push_back(*pool.pick({.tokens = static_cast<std::int64_t>(random() % 2000)}));
  }
  for (const auto& replica : pool.replicas()) replica->first_token(0.1 + static_cast<double>(random() % 100) / 100);
  std::uint64_t i = 0;
  for (auto _ : state) {
    auto pick = pool.pick({.session = ++i, .blocks = prompts[i % kConversations], .tokens = 100});
    benchmark::DoNotOptimize(pick);
  }
  state.SetLabel(std::string(json::enum_name(policy)));
}
BENCHMARK(choose)->ArgNames({"policy", "replicas"})->ArgsProduct({benchmark::CreateDenseRange(0, 7, 1), {2, 64}});

// A whole life: chosen, first token, good end.
void succeed(benchmark::State& state) {
  Pool pool({.seed = 1}, replicas_of(64));
  for (auto _ : state) {
    auto pick = pool.pick({.tokens = 100});
    pick->first_token(0.1);
    pick->succeeded();
  }
}
BENCHMARK(succeed);

// Blocks of a prompt that nobody has seen: learnt by the one that gets it.
void learn(benchmark::State& state) {
  Pool pool({.policy = Policy::kPrefix, .seed = 1}, replicas_of(64));
  std::mt19937_64 random(1);
  std::vector<std::uint64_t> prompt(128);
  for (auto _ : state) {
    for (auto& block : prompt) block = random();
    benchmark::DoNotOptimize(pool.pick({.blocks = prompt}));
  }
  state.SetItemsProcessed(state.iterations() * 128);
}
BENCHMARK(learn);

}  // namespace
}  // namespace llm::router
