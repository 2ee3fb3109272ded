#include "observe/metrics.h"

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <stdexcept>
#include <thread>
#include <unistd.h>

#include "observe/gateway_metrics.h"
#include "observe/process_metrics.h"

namespace llm::observe {
namespace {

using testing::HasSubstr;
using testing::Not;

// The value of one series in the rendered text; NaN-free, so -1 stands for "absent".
double series(const std::string& text, const std::string& name_and_labels) {
  const auto at = text.find("\n" + name_and_labels + " ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + name_and_labels.size() + 2));
}

TEST(Metrics, RendersTheTextFormat) {
  Metrics metrics;
  metrics.counter("requests_total", "Requests.", {{"path", "/a\"b\n"}}).add(3);
  metrics.gauge("open", "Open.").set(2.5);
  constexpr std::array kBuckets{0.1, 1.0};
  auto& histogram = metrics.histogram("seconds", "Time.", {}, kBuckets);
  for (const double value : {0.05, 0.1, 0.5, 7.0}) histogram.observe(value);
  const std::string text = metrics.render();
  EXPECT_THAT(text, HasSubstr("# HELP requests_total Requests.\n# TYPE requests_total counter\n"
                              "requests_total{path=\"/a\\\"b\\n\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE open gauge\nopen 2.5\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE seconds histogram\n"));
  EXPECT_EQ(series(text, "seconds_bucket{le=\"0.1\"}"), 2) << "bounds are inclusive\n" << text;
  EXPECT_EQ(series(text, "seconds_bucket{le=\"1\"}"), 3);
  EXPECT_EQ(series(text, "seconds_bucket{le=\"+Inf\"}"), 4);
  EXPECT_EQ(series(text, "seconds_count"), 4);
}

TEST(Metrics, SameNameAndLabelsAreTheSameSeries) {
  Metrics metrics;
  Counter& first = metrics.counter("c_total", "C.", {{"a", "1"}});
  EXPECT_EQ(&first, &metrics.counter("c_total", "C.", {{"a", "1"}}));
  EXPECT_NE(&first, &metrics.counter("c_total", "C.", {{"a", "2"}}));
  first.add();
  first.add(-5);
  EXPECT_EQ(first.value(), 1);
  Gauge& gauge = metrics.gauge("g", "G.");
  gauge.add(3);
  gauge.sub();
  EXPECT_EQ(gauge.value(), 2);
}

TEST(Metrics, WrongNamesAreBugs) {
  Metrics metrics;
  metrics.counter("taken_total", "C.");
  EXPECT_THROW(metrics.gauge("taken_total", "G."), std::invalid_argument);
  EXPECT_THROW(metrics.counter("no spaces", "C."), std::invalid_argument);
}

TEST(Metrics, SourcesAreReadAtEachRender) {
  Metrics metrics;
  double value = 1;
  metrics.add_source([&value] { return std::vector<MetricSample>{{"s_total", "S.", true, value}}; });
  EXPECT_EQ(series(metrics.render(), "s_total"), 1);
  value = 2;
  EXPECT_THAT(metrics.render(), HasSubstr("# TYPE s_total counter\ns_total 2\n"));
}

TEST(GatewayMetrics, Http) {
  GatewayMetrics metrics("1.2.3");
  RouteMetrics& route = metrics.route("/v1/models/{id}");
  EXPECT_EQ(&route, &metrics.route("/v1/models/{id}"));
  route.request("GET", 200, 0.002);
  route.request("GET", 200, 0.3);
  route.request("GET", 404, 0.3);
  route.request("BREW", 99, 0.3);
  metrics.connection_opened();
  metrics.connection_opened();
  metrics.connection_closed();
  metrics.pulled(1000);
  const std::string text = metrics.render();
  EXPECT_EQ(series(text, R"(llm_mcp_http_requests_total{method="GET",route="/v1/models/{id}",status="200"})"), 2)
      << text;
  EXPECT_EQ(series(text, R"(llm_mcp_http_requests_total{method="GET",route="/v1/models/{id}",status="404"})"), 1);
  EXPECT_EQ(series(text, R"(llm_mcp_http_requests_total{method="OTHER",route="/v1/models/{id}",status="0"})"), 1);
  EXPECT_EQ(series(text, R"(llm_mcp_http_request_duration_seconds_bucket{route="/v1/models/{id}",le="0.005"})"), 1);
  EXPECT_EQ(series(text, R"(llm_mcp_http_request_duration_seconds_count{route="/v1/models/{id}"})"), 4);
  EXPECT_EQ(series(text, "llm_mcp_http_connections"), 1);
  EXPECT_EQ(series(text, "llm_mcp_pull_bytes_total"), 1000);
  EXPECT_EQ(series(text, R"(llm_mcp_build_info{version="1.2.3"})"), 1);
}

TEST(GatewayMetrics, Inference) {
  GatewayMetrics metrics("1");
  ModelMetrics& model = metrics.add_model("smollm2");
  EXPECT_EQ(&model, &metrics.model("smollm2"));
  model.request_started();
  model.request_started();
  model.request_ended();
  model.operation("chat").finished(std::nullopt, 1.5);
  model.operation("chat").finished(ErrorCode::kEngineFailed, 0.1);
  model.operation("embedding").finished(ErrorCode::kInternal, 0.1);
  model.time_to_first_token(0.15);
  model.time_per_output_token(0.012);
  model.tokens(100, 20);
  model.tokens(1, 2);
  const std::string text = metrics.render();
  const std::string requests = R"(llm_mcp_inference_requests_total{model="smollm2",operation=)";
  EXPECT_EQ(series(text, requests + R"("chat",outcome="ok"})"), 1) << text;
  EXPECT_EQ(series(text, requests + R"("chat",outcome="engine_failed"})"), 1);
  EXPECT_EQ(series(text, requests + R"("embedding",outcome="internal"})"), 1);
  EXPECT_EQ(series(text, R"(llm_mcp_inference_duration_seconds_count{model="smollm2",operation="chat"})"), 2);
  EXPECT_EQ(series(text, R"(llm_mcp_time_to_first_token_seconds_bucket{model="smollm2",le="0.2"})"), 1);
  EXPECT_EQ(series(text, R"(llm_mcp_time_per_output_token_seconds_sum{model="smollm2"})"), 0.012);
  EXPECT_EQ(series(text, R"(llm_mcp_tokens_total{model="smollm2",type="prompt"})"), 101);
  EXPECT_EQ(series(text, R"(llm_mcp_tokens_total{model="smollm2",type="completion"})"), 22);
  EXPECT_EQ(series(text, R"(llm_mcp_requests_in_flight{model="smollm2"})"), 1);
}

TEST(GatewayMetrics, Engine) {
  GatewayMetrics metrics("1");
  ModelMetrics& model = metrics.add_model("m");
  model.engine_state("loading");
  model.engine_state("ready");
  model.engine_restarted();
  model.engine_loaded(3);
  model.engine_memory(1 << 30);
  const std::string text = metrics.render();
  EXPECT_EQ(series(text, R"(llm_mcp_engine_state{model="m",state="loading"})"), 0);
  EXPECT_EQ(series(text, R"(llm_mcp_engine_state{model="m",state="ready"})"), 1);
  EXPECT_EQ(series(text, R"(llm_mcp_engine_restarts_total{model="m"})"), 1);
  EXPECT_EQ(series(text, R"(llm_mcp_engine_load_seconds_sum{model="m"})"), 3);
  EXPECT_EQ(series(text, R"(llm_mcp_engine_memory_bytes{model="m"})"), 1 << 30);
}

TEST(GatewayMetrics, LabelsAreBounded) {
  GatewayMetrics metrics("1");
  EXPECT_THAT(metrics.render(), Not(HasSubstr("model=\"other\"")));
  ModelMetrics& other = metrics.model("what a client made up");
  EXPECT_EQ(&other, &metrics.model("something else"));
  other.tokens(1, 1);
  EXPECT_THAT(metrics.render(), Not(HasSubstr("made up")));
  for (std::size_t i = 0; i < GatewayMetrics::kMostModels; ++i) {
    EXPECT_NE(&metrics.add_model("m" + std::to_string(i)), &other) << i;
  }
  EXPECT_EQ(&metrics.add_model("one too many"), &other);
  EXPECT_NE(&metrics.model("m199"), &other);
  OperationMetrics* last = nullptr;
  for (std::size_t i = 0; i <= ModelMetrics::kMostOperations; ++i) last = &other.operation("op" + std::to_string(i));
  EXPECT_EQ(last, &other.operation("yet another"));
  for (int i = 0; i < 100; ++i) other.engine_state("state" + std::to_string(i));
  const std::string text = metrics.render();
  EXPECT_EQ(series(text, R"(llm_mcp_engine_state{model="other",state="other"})"), 1);
  EXPECT_THAT(text, Not(HasSubstr("state50")));
}

TEST(GatewayMetrics, ThreadsMayRace) {
  GatewayMetrics metrics("1");
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&metrics] {
        for (int i = 0; i < 300; ++i) {
          metrics.route("/r" + std::to_string(i % 20)).request("POST", 200 + i % 5, 0.01);
          metrics.add_model("m" + std::to_string(i % 20)).operation("chat").finished(std::nullopt, 1);
          metrics.model("unknown").tokens(1, 0);
          if (i % 100 == 0) metrics.render();
        }
      });
    }
  }
  const std::string text = metrics.render();
  EXPECT_EQ(series(text, R"(llm_mcp_http_request_duration_seconds_count{route="/r7"})"), 60);
  EXPECT_EQ(series(text, R"(llm_mcp_inference_requests_total{model="m3",operation="chat",outcome="ok"})"), 60);
  EXPECT_EQ(series(text, R"(llm_mcp_tokens_total{model="other",type="prompt"})"), 1200);
}

TEST(ProcessMetrics, OfThisProcess) {
  std::map<std::string, double> values;
  for (const auto& sample : process_metrics()) values[sample.name] = sample.value;
  EXPECT_GT(values["process_resident_memory_bytes"], 1e6);
  EXPECT_GT(values["process_virtual_memory_bytes"], values["process_resident_memory_bytes"]);
  EXPECT_GE(values["process_open_fds"], 3);
  EXPECT_GT(values["process_max_fds"], 3);
  EXPECT_GT(values["process_start_time_seconds"], 1.7e9);
  EXPECT_GE(values["process_threads"], 1);
  EXPECT_TRUE(values.contains("process_cpu_seconds_total"));
}

TEST(ProcessMetrics, ReadsTheRightFieldsAndSurvivesTheirAbsence) {
  std::string name = (std::filesystem::temp_directory_path() / "llm-mcp-proc-XXXXXX").string();
  const std::filesystem::path proc = ::mkdtemp(name.data());
  std::filesystem::create_directories(proc / "self" / "fd");
  std::ofstream(proc / "stat") << "cpu 1 2 3\nbtime 1000\nprocesses 5\n";
  // Field 14 utime=300, 15 stime=100, 20 threads=7, 22 start=500, 23 vsize=4096, 24 rss=2; a name made to confuse.
  std::ofstream(proc / "self" / "stat")
      << "42 (a) b (c) S 1 1 1 0 -1 4194560 10 0 0 0 300 100 0 0 20 0 7 0 500 4096 2 18446744073709551615\n";
  std::map<std::string, double> values;
  for (const auto& sample : process_metrics(proc.string())) values[sample.name] = sample.value;
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  EXPECT_EQ(values["process_cpu_seconds_total"], 400 / ticks);
  EXPECT_EQ(values["process_threads"], 7);
  EXPECT_EQ(values["process_start_time_seconds"], 1000 + 500 / ticks);
  EXPECT_EQ(values["process_virtual_memory_bytes"], 4096);
  EXPECT_EQ(values["process_resident_memory_bytes"], 2.0 * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  std::filesystem::remove_all(proc);
  for (const auto& sample : process_metrics(proc.string())) EXPECT_EQ(sample.name, "process_max_fds");
}

}  // namespace
}  // namespace llm::observe
