#include "engines/vllm/vllm_metrics.h"

#include <cmath>
#include <gmock/gmock.h>

#include "engines/vllm/vllm_metrics_scraper.h"
#include "engines/vllm/vllm_under_test.h"

namespace llm::engines {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kOld = R"(# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="acme/big"} 3.0
vllm:num_requests_waiting{engine="0",model_name="acme/big"} 2.0
vllm:gpu_cache_usage_perc{engine="0",model_name="acme/big"} 0.5
vllm:kv_cache_usage_perc{engine="0",model_name="acme/big"} 0.5
vllm:gpu_prefix_cache_queries_total{engine="0",model_name="acme/big"} 100.0
vllm:gpu_prefix_cache_hits_total{engine="0",model_name="acme/big"} 40.0
vllm:prompt_tokens_total{engine="0",model_name="acme/big"} 1000.0
vllm:generation_tokens_total{engine="0",model_name="acme/big"} 5000.0
vllm:num_preemptions_total{engine="0",model_name="acme/big"} 1.0
vllm:request_success_total{engine="0",finished_reason="stop",model_name="acme/big"} 6.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="acme/big"} 4.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001",model_name="acme/big"} 0.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="acme/big"} 10.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="acme/big"} 0.75
vllm:time_per_output_token_seconds_count{engine="0",model_name="acme/big"} 4990.0
vllm:time_per_output_token_seconds_sum{engine="0",model_name="acme/big"} 49.9
vllm:e2e_request_latency_seconds_count{engine="0",model_name="acme/big"} 10.0
vllm:e2e_request_latency_seconds_sum{engine="0",model_name="acme/big"} 51.0
vllm:lora_requests_info{max_lora="2",running_lora_adapters="sql",waiting_lora_adapters=""} 1.755e+09
vllm:lora_requests_info{max_lora="2",running_lora_adapters="sql,chat",waiting_lora_adapters="x"} 1.756e+09
python_gc_objects_collected_total{generation="0"} 17.0
)";

constexpr std::string_view kNew = R"(# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="acme/big"} 1.0
vllm:num_requests_running{engine="1",model_name="acme/big"} 2.0
vllm:num_requests_waiting{engine="0",model_name="acme/big"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="acme/big"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="acme/big"} 0.75
vllm:prefix_cache_queries_total{engine="0",model_name="acme/big"} 100.0
vllm:prefix_cache_hits_total{engine="0",model_name="acme/big"} 40.0
vllm:external_prefix_cache_hits_total{engine="0",model_name="acme/big"} 7.0
vllm:prompt_tokens_total{engine="0",model_name="acme/big"} 1000.0
vllm:prompt_tokens_cached_total{engine="0",model_name="acme/big"} 400.0
vllm:generation_tokens_total{engine="0",model_name="acme/big"} 5000.0
vllm:num_preemptions_total{engine="0",model_name="acme/big"} 1.0
vllm:request_success_total{engine="0",finished_reason="stop",model_name="acme/big"} 10.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="acme/big"} 10.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="acme/big"} 0.75
vllm:inter_token_latency_seconds_count{engine="0",model_name="acme/big"} 4990.0
vllm:inter_token_latency_seconds_sum{engine="0",model_name="acme/big"} 49.9
vllm:request_time_per_output_token_seconds_sum{engine="0",model_name="acme/big"} 1.0
vllm:e2e_request_latency_seconds_count{engine="0",model_name="acme/big"} 10.0
vllm:e2e_request_latency_seconds_sum{engine="0",model_name="acme/big"} 51.0
vllm:engine_sleep_state{engine="0",model_name="acme/big",sleep_state="awake"} 0.0
vllm:engine_sleep_state{engine="0",model_name="acme/big",sleep_state="weights_offloaded"} 1.0
vllm:engine_healthy{engine="0",model_name="acme/big"} 1.0
)";

TEST(VllmMetrics, BothGenerationsOfNamesMeanTheSame) {
  for (const auto text : {kOld, kNew}) {
    const auto figures = vllm_figures(text);
    EXPECT_EQ(figures.running, 3.0);
    EXPECT_EQ(figures.waiting, 2.0);
    EXPECT_EQ(figures.kv_cache_usage, 0.5);
    EXPECT_EQ(figures.prefix_cache_queries, 100.0);
    EXPECT_EQ(figures.prefix_cache_hits, 40.0);
    EXPECT_EQ(figures.prompt_tokens, 1000.0);
    EXPECT_EQ(figures.generation_tokens, 5000.0);
    EXPECT_EQ(figures.preemptions, 1.0);
    EXPECT_EQ(figures.finished, 10.0);
    EXPECT_EQ(figures.time_to_first_token_sum, 0.75);
    EXPECT_EQ(figures.inter_token_latency_sum, 49.9);
    EXPECT_EQ(figures.inter_token_latency_count, 4990.0);
    EXPECT_EQ(figures.request_latency_sum, 51.0);
  }
  EXPECT_THAT(vllm_figures(kOld).running_adapters, ElementsAre("chat", "sql"));
  EXPECT_THAT(vllm_figures(kOld).waiting_adapters, ElementsAre("x"));
  EXPECT_EQ(vllm_figures(kOld).healthy, std::nullopt);
  EXPECT_EQ(vllm_figures(kNew).sleep_state, "weights_offloaded");
  EXPECT_EQ(vllm_figures(kNew).healthy, 1.0);
}

TEST(VllmMetrics, OfTwoNamesTheNewOneCounts) {
  EXPECT_EQ(vllm_figures("vllm:kv_cache_usage_perc 0.25\nvllm:gpu_cache_usage_perc 0.75\n").kv_cache_usage, 0.25);
  EXPECT_EQ(vllm_figures("vllm:gpu_cache_usage_perc 0.75\n").kv_cache_usage, 0.75);
}

TEST(VllmMetrics, WhatCannotBeReadIsPassedOver) {
  std::vector<std::string> seen;
  read_metric_lines(
      "# a comment\r\nplain 1\nspaced { a = \"b\\\"c\\\\\\n\" , } +2.5e3 1700000000\r\nbad{a=\"b} 1\nbad{a} 1\n"
      "noval\nbad x\ninf{} +Inf\n{}\n\nlast{x=\"y\"} -1",
      [&seen](const MetricLine& line) {
        seen.push_back(std::string(line.name) + ":" + std::string(line.label("a")) + ":" + std::to_string(line.value));
      });
  EXPECT_THAT(seen, ElementsAre("plain::1.000000", "spaced:b\"c\\\n:2500.000000", "inf::inf", "last::-1.000000"));
  EXPECT_EQ(vllm_figures("vllm:prompt_tokens_total NaN\n").prompt_tokens, std::nullopt);
}

class VllmScraperTest : public ::testing::Test {
 protected:
  ~VllmScraperTest() override { run_task(loop, server.stop()); }
  void scrape() { run_task(loop, scraper.scrape_once({})); }
  VllmScraper::Targets targets() {
    return [this] { return there; };
  }

  Loop loop{"test"};
  net::HttpClient client{loop, {}};
  ScriptedVllm server{loop};
  observe::Metrics metrics;
  std::vector<std::pair<std::string, EngineInfo>> there;
  VllmScraper scraper{loop, client, metrics, {}, targets()};
};

TEST_F(VllmScraperTest, ShowsOneSchemeForAllVersions) {
  EngineInfo info;
  info.endpoint = server.endpoint;
  info.endpoint.base_path = "/v1";
  info.kind = dialects::ProviderKind::kVllm;
  EngineInfo other = info;
  other.kind = dialects::ProviderKind::kOllama;
  there = {{"big#1", info}, {"llama", other}};
  server.answers["/metrics"] = {200, std::string(kNew)};
  scrape();
  std::string shown = metrics.render();
  EXPECT_THAT(shown, HasSubstr("llm_mcp_engine_requests_running{model=\"big\",replica=\"1\"} 3\n"));
  EXPECT_THAT(shown, HasSubstr("llm_mcp_engine_generation_tokens_total{model=\"big\",replica=\"1\"} 5000\n"));
  EXPECT_THAT(shown, HasSubstr("llm_mcp_engine_inter_token_latency_seconds_sum{model=\"big\",replica=\"1\"} 49.9\n"));
  EXPECT_THAT(shown, HasSubstr("state=\"weights_offloaded\"} 1\n"));
  EXPECT_THAT(shown, Not(HasSubstr("llama")));

  // It starts anew: what it counts begins at nothing, what we show goes on.
  server.answers["/metrics"] = {200, "vllm:generation_tokens_total 10\nvllm:num_requests_running 1\n"};
  scrape();
  shown = metrics.render();
  EXPECT_THAT(shown, HasSubstr("llm_mcp_engine_generation_tokens_total{model=\"big\",replica=\"1\"} 5010\n"));
  EXPECT_THAT(shown, HasSubstr("llm_mcp_engine_requests_running{model=\"big\",replica=\"1\"} 1\n"));

  there.clear();
  scrape();
  EXPECT_THAT(metrics.render(), HasSubstr("llm_mcp_engine_requests_running{model=\"big\",replica=\"1\"} 0\n"));
}

TEST_F(VllmScraperTest, AnEngineThatDoesNotAnswerIsCounted) {
  EngineInfo info;
  info.endpoint = server.endpoint;
  info.kind = dialects::ProviderKind::kVllm;
  there = {{"big", info}};
  scrape();  // 404
  EXPECT_THAT(metrics.render(),
              HasSubstr("llm_mcp_engine_scrapes_total{model=\"big\",outcome=\"failed\",replica=\"0\"} 1\n"));
}

}  // namespace
}  // namespace llm::engines
