#include <benchmark/benchmark.h>
#include <string>

#include "net/sse.h"

namespace {

// A 16 KiB slice of chat completion chunks as engines send them.
std::string chunks(std::string_view line_end, std::size_t payload) {
  std::string out;
  while (out.size() < 16384) {
    out.append("data: {\"x\":\"").append(payload, 'a').append("\"}").append(line_end).append(line_end);
  }
  return out;
}

void parse(benchmark::State& state, std::string_view line_end) {
  const std::string stream = chunks(line_end, static_cast<std::size_t>(state.range(0)));
  const auto slice = static_cast<std::size_t>(state.range(1));
  std::int64_t events = 0;
  llm::net::SseParser parser;
  for (auto _ : state) {
    for (std::size_t at = 0; at < stream.size(); at += slice) {
      auto result = parser.feed(std::string_view(stream).substr(at, slice), [&](const llm::net::SseEvent& event) {
        benchmark::DoNotOptimize(event.data.data());
        ++events;
      });
      benchmark::DoNotOptimize(result);
    }
  }
  state.SetItemsProcessed(events);
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(stream.size()));
}

void BM_SseParseLf(benchmark::State& state) {
  parse(state, "\n");
}
void BM_SseParseCrlf(benchmark::State& state) {
  parse(state, "\r\n");
}
BENCHMARK(BM_SseParseLf)->ArgNames({"payload", "slice"})->Args({10, 16384})->Args({230, 16384})->Args({230, 100});
BENCHMARK(BM_SseParseCrlf)->ArgNames({"payload", "slice"})->Args({230, 16384});

void BM_SseWrite(benchmark::State& state) {
  const std::string data(230, 'a');
  std::string out;
  for (auto _ : state) {
    out.clear();
    llm::net::append_sse_data(out, data);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_SseWrite);

}  // namespace
