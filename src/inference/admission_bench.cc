#include <benchmark/benchmark.h>
#include <boost/asio/co_spawn.hpp>

#include "async/run_task.h"
#include "inference/admission.h"

namespace llm::inference {
namespace {

// A place that is free, taken and given back.
void uncontended(benchmark::State& state) {
  Admission admission({});
  const Claim claim{.project = "research", .key = "k7f3a9c2d1e0", .cost = 500};
  for (auto _ : state) benchmark::DoNotOptimize(admission.try_enter(claim));
}
BENCHMARK(uncontended);

void uncontended_coroutine(benchmark::State& state) {
  Admission admission({});
  Loop loop("bench");
  auto body = [&]() -> Task<void> {
    const Claim claim{.project = "research", .key = "k7f3a9c2d1e0", .cost = 500};
    for (auto _ : state) benchmark::DoNotOptimize(co_await admission.enter(claim, {}));
  };
  run_task(loop, body());
}
BENCHMARK(uncontended_coroutine);

// One turn with so many projects in the queue.
void turn(benchmark::State& state) {
  FairQueue queue;
  std::vector<FairQueue::Item> items(static_cast<std::size_t>(state.range(0)));
  for (std::size_t i = 0; i < items.size(); ++i) {
    items[i].account = &queue.hold({.project = std::to_string(i)});
    items[i].cost = static_cast<std::int64_t>(i % 90 + 10);
    queue.push(items[i]);
  }
  for (auto _ : state) queue.push(*queue.pop());
}
BENCHMARK(turn)->Arg(1)->Arg(16)->Arg(256);

}  // namespace
}  // namespace llm::inference
