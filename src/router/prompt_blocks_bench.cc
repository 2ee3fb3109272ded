// What the hashes of a prompt's blocks cost for each byte of it.
//   cmake --preset release -DLLM_MCP_BENCHMARKS=ON && ninja -C build/release prompt_blocks_bench &&
//   build/release/prompt_blocks_bench
#include <benchmark/benchmark.h>

#include "router/prompt_blocks.h"

namespace llm::router {
namespace {

// A conversation of messages of 1 KiB.
void conversation(benchmark::State& state) {
  json::array messages;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    std::string text;
    while (text.size() < 1024) text += "the quick brown fox jumps over the lazy dog " + std::to_string(i);
    text.resize(1024);
    messages.push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", text}});
  }
  const json::object body{{"model", "m"}, {"messages", messages}};
  for (auto _ : state) benchmark::DoNotOptimize(prompt_blocks(body, "tenant"));
  state.SetBytesProcessed(state.iterations() * state.range(0) * 1024);
  state.counters["us_per_KiB"] = benchmark::Counter(static_cast<double>(state.iterations() * state.range(0)) / 1e6,
                                                    benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(conversation)->Arg(1)->Arg(8)->Arg(64)->Arg(128);

}  // namespace
}  // namespace llm::router
