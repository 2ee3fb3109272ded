// CPU time of the answer cache's key and look-up. Targets: key() 5 us for each KB of request, find() 0.5 us.
#include <benchmark/benchmark.h>

#include "inference/answer_cache.h"
#include "inference/replay.h"

namespace llm::inference {
namespace {

// A chat with four messages and so many bytes of text, with the parameters that people send.
json::object request(std::size_t bytes) {
  json::array messages;
  for (const auto* role : {"system", "user", "assistant", "user"}) {
    messages.push_back(json::object{{"role", role}, {"content", std::string(bytes / 4, 'x')}});
  }
  return {{"model", "qwen3:8b"}, {"messages", std::move(messages)},
          {"temperature", 0},    {"max_tokens", 256},
          {"top_p", 0.95},       {"stream", true}};
}

struct Cache {
  observe::GatewayMetrics metrics{"bench"};
  AnswerCache cache{{.generation = true}, metrics};
};

void key(benchmark::State& state) {
  Cache held;
  const auto body = request(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(held.cache.key("project/research", "qwen3:8b@1", "chat", body, false));
}
BENCHMARK(key)->Arg(256)->Arg(1024)->Arg(16384);

void not_kept(benchmark::State& state) {
  Cache held;
  auto body = request(1024);
  body["temperature"] = 0.7;
  for (auto _ : state) benchmark::DoNotOptimize(held.cache.key("project/research", "qwen3:8b@1", "chat", body, false));
}
BENCHMARK(not_kept);

void find(benchmark::State& state) {
  Cache held;
  std::vector<std::string> keys;
  for (int i = 0; i < 10'000; ++i) {
    keys.push_back(held.cache.key("t", "v", "embedding", {{"input", i}}, false));
    held.cache.put(keys.back(), {.model = "m", .body = std::string(600, 'x')});
  }
  std::size_t at = 0;
  for (auto _ : state) benchmark::DoNotOptimize(held.cache.find(keys[at = (at + 7919) % keys.size()]));
}
BENCHMARK(find);

void put(benchmark::State& state) {
  Cache held;
  std::vector<std::string> keys;
  for (int i = 0; i < 10'000; ++i) keys.push_back(held.cache.key("t", "v", "embedding", {{"input", i}}, false));
  std::size_t at = 0;
  for (auto _ : state) {
    held.cache.put(keys[at = (at + 7919) % keys.size()], {.model = "m", .body = std::string(600, 'x')});
  }
}
BENCHMARK(put);

void replay(benchmark::State& state) {
  const CachedAnswer answer{.model = "m",
                            .body = R"({"id":"i","object":"chat.completion","created":1,"model":"m","choices":[{)"
                                    R"("index":0,"message":{"role":"assistant","content":")" +
                                    std::string(600, 'x') + R"("},"finish_reason":"stop"}]})"};
  for (auto _ : state) benchmark::DoNotOptimize(replay_body(answer, {.model = "m", .created = 1}));
}
BENCHMARK(replay);

}  // namespace
}  // namespace llm::inference
