// CPU time of limits, quotas and usage for each request: reserve, settle, book. In memory, as with one gateway.
#include <benchmark/benchmark.h>
#include <chrono>

#include "access/limits/gcra.h"
#include "access/limits/limiter_fixture.h"
#include "access/limits/rate_limit_headers.h"
#include "access/limits/usage.h"

namespace {

using namespace llm;
using namespace llm::access;

std::int64_t clock_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}
std::int64_t clock_ms() {
  return clock_ns() / 1'000'000;
}

constexpr std::int64_t kPlenty = 1'000'000'000'000;
LimitPolicy three_rates() {
  return {.requests = per_minute(kPlenty), .input_tokens = per_minute(kPlenty), .output_tokens = per_minute(kPlenty)};
}

void run(benchmark::State& state, Limiter& limiter, UsageBook* usage, const Principal& principal) {
  for (auto _ : state) {
    LimitReport report;
    auto reserved = limiter.try_reserve(principal, "llama3:8b", {.input_tokens = 400, .output_tokens = 512}, &report);
    if (!reserved || !*reserved) {
      state.SkipWithError("refused");
      break;
    }
    benchmark::DoNotOptimize(report);
    (*reserved)->settle(321, 123);
    if (usage) usage->add(principal, "llama3:8b", {.input_tokens = 321, .output_tokens = 123});
  }
}

// One for all threads, as in the gateway.
Limiter& limiter() {
  static Limiter one({}, nullptr, "bench", clock_ns);
  return one;
}
UsageBook& usage() {
  static UsageBook one(nullptr, UsageDurability::kInterval, clock_ms);
  return one;
}

void unlimited(benchmark::State& state) {
  run(state, limiter(), nullptr, key_of("unlimited", {}));
}
void three_limits(benchmark::State& state) {
  run(state, limiter(), nullptr, key_of("three", three_rates()));
}
// What the target is about: 3 rates, 2 quotas and the booking of usage. 2 µs at most.
void limits_quotas_usage(benchmark::State& state) {
  LimitPolicy policy = three_rates();
  policy.requests_per_day = policy.tokens_per_month = kPlenty;
  run(state, limiter(), &usage(), key_of("all", policy));
}
// The same with limits of the project, too.
void with_project(benchmark::State& state) {
  LimitPolicy policy = three_rates();
  policy.requests_per_day = policy.tokens_per_month = kPlenty;
  policy.concurrent = 1'000;
  run(state, limiter(), &usage(), key_of("both", policy, policy, "team"));
}
void usage_only(benchmark::State& state) {
  const Principal principal = key_of("usage", {});
  for (auto _ : state) usage().add(principal, "llama3:8b", {.input_tokens = 321, .output_tokens = 123});
}
void headers(benchmark::State& state) {
  const LimitReport report{
      .requests = {.limit = 60, .remaining = 59, .reset_ms = 1'000, .window_ms = 60'000, .name = "key"},
      .input_tokens = {.limit = 10'000, .remaining = 400, .reset_ms = 57'601, .window_ms = 60'000, .name = "key"}};
  for (auto _ : state) benchmark::DoNotOptimize(rate_limit_headers(report));
}
// Many reservations of one limit open at the same time.
void many_open(benchmark::State& state) {
  Limiter own({}, nullptr, "bench", clock_ns);
  const Principal principal = key_of("many", three_rates());
  std::vector<Reservation> open;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    open.push_back(std::move(**own.try_reserve(principal, "m", {.input_tokens = 4, .output_tokens = 5}, nullptr)));
  }
  run(state, own, nullptr, principal);
}

BENCHMARK(unlimited);
BENCHMARK(three_limits);
BENCHMARK(limits_quotas_usage);
BENCHMARK(limits_quotas_usage)->Threads(4);
BENCHMARK(with_project);
BENCHMARK(usage_only);
BENCHMARK(headers);
BENCHMARK(many_open)->Arg(0)->Arg(100)->Arg(1'000);

}  // namespace
