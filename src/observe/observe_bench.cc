#include <benchmark/benchmark.h>
#include <string>

#include "observe/gateway_metrics.h"
#include "observe/log.h"

namespace {

using namespace llm::observe;

void BM_LogDisabledLevel(benchmark::State& state) {
  auto log = Log::to_target([](LogLevel, std::string_view) {}, LogLevel::kInfo);
  for (auto _ : state) log->debug("not written", {{"model", "smollm2"}, {"pid", 12}});
}
BENCHMARK(BM_LogDisabledLevel);

void BM_LogLine(benchmark::State& state) {
  auto log = Log::to_target([](LogLevel, std::string_view line) { benchmark::DoNotOptimize(line.data()); },
                            LogLevel::kInfo, state.range(0) != 0 ? LogFormat::kJson : LogFormat::kText);
  for (auto _ : state) {
    log->info("request", {{"id", "019b2c6f0a0e7c1d8d1b0a0e7c1d8d1b"},
                          {"route", "/v1/chat/completions"},
                          {"status", 200},
                          {"ms", 1.5},
                          {"stream", true}});
  }
}
BENCHMARK(BM_LogLine)->ArgName("json")->Arg(0)->Arg(1);

void BM_RouteRequest(benchmark::State& state) {
  static GatewayMetrics metrics("bench");
  RouteMetrics& route = metrics.route("/v1/chat/completions");
  for (auto _ : state) route.request("POST", 200, 0.02);
}
BENCHMARK(BM_RouteRequest)->Threads(1)->Threads(2);

void BM_ModelLookUp(benchmark::State& state) {
  static GatewayMetrics metrics("bench");
  metrics.add_model("smollm2-135m-instruct");
  for (auto _ : state) benchmark::DoNotOptimize(&metrics.model("smollm2-135m-instruct"));
}
BENCHMARK(BM_ModelLookUp)->Threads(1)->Threads(2);

void BM_ModelTokens(benchmark::State& state) {
  static GatewayMetrics metrics("bench");
  ModelMetrics& model = metrics.add_model("m");
  for (auto _ : state) model.tokens(100, 20);
}
BENCHMARK(BM_ModelTokens)->Threads(1)->Threads(2);

void BM_OperationFinished(benchmark::State& state) {
  static GatewayMetrics metrics("bench");
  OperationMetrics& chat = metrics.add_model("m").operation("chat");
  for (auto _ : state) chat.finished(std::nullopt, 1.5);
}
BENCHMARK(BM_OperationFinished)->Threads(1)->Threads(2);

}  // namespace
