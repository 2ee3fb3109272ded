#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "async/cancel.h"
#include "async/loop.h"
#include "engines/engine.h"
#include "engines/vllm/vllm_metrics.h"
#include "net/http_client.h"
#include "observe/metrics.h"

namespace llm::engines {

struct VllmScraperSettings {
  std::chrono::milliseconds interval{10'000};
  std::chrono::milliseconds timeout{3'000};  // for one engine
};

// Asks every running vLLM for its own metrics and shows them as ours, under one scheme whatever its version:
// llm_mcp_engine_<figure>{model,replica} (the figures of vllm_metrics.h), llm_mcp_engine_sleep_state{…,state},
// llm_mcp_engine_adapters_running{…} and llm_mcp_engine_scrapes_total{…,outcome}. Counters go on rising when the engine
// starts anew; the gauges of an engine that is gone are 0. On the control loop.
class VllmScraper {
 public:
  // The engines to ask now: key ("big", "big#1") and what is known of it. Others than vLLM are passed over.
  using Targets = std::function<std::vector<std::pair<std::string, EngineInfo>>()>;

  VllmScraper(Loop& control, net::HttpClient& client, observe::Metrics& metrics, VllmScraperSettings settings,
              Targets targets);
  ~VllmScraper();

  Task<void> run(CancelToken cancel);  // until the cancel
  Task<void> scrape_once(CancelToken cancel);

 private:
  struct Series;
  Series& series_of(const std::string& key);
  Task<void> scrape(std::string key, EngineInfo info, CancelToken cancel);

  Loop& control_;
  net::HttpClient& client_;
  observe::Metrics& metrics_;
  VllmScraperSettings settings_;
  Targets targets_;
  std::map<std::string, std::unique_ptr<Series>> series_;
};

}  // namespace llm::engines
