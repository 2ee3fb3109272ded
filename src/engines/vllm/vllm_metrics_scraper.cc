#include "engines/vllm/vllm_metrics_scraper.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "async/event.h"
#include "base/strings.h"
#include "engines/vllm/vllm_features.h"

namespace llm::engines {
namespace {

// States as vLLM names them; a version that does not say is not shown.
constexpr std::array<std::string_view, 3> kSleepStates{"awake", "weights_offloaded", "discard_all"};

// "big#1" -> {"big", "1"}
std::pair<std::string, std::string> parts_of(const std::string& key) {
  const auto mark = key.rfind('#');
  if (mark == std::string::npos || !parse_number<std::uint32_t>(std::string_view(key).substr(mark + 1))) {
    return {key, "0"};
  }
  return {key.substr(0, mark), key.substr(mark + 1)};
}

std::string series_name(const VllmFigure& figure) {
  const bool total = figure.counter && !figure.name.ends_with("_sum") && !figure.name.ends_with("_count");
  return fmt::format("llm_mcp_engine_{}{}", figure.name, total ? "_total" : "");
}

}  // namespace

// What is shown of one engine. Series come into being with the first figure.
struct VllmScraper::Series {
  struct One {
    observe::Gauge* gauge = nullptr;
    observe::Counter* counter = nullptr;
    double last = 0;  // of the engine's counter
  };

  Series(observe::Metrics& registry, const std::string& key)
      : metrics(registry), labels{{"model", parts_of(key).first}, {"replica", parts_of(key).second}} {
    ones.resize(vllm_figure_table().size());
  }

  void show(const VllmFigures& figures) {
    const auto& table = vllm_figure_table();
    for (std::size_t i = 0; i < table.size(); ++i) {
      const auto value = figures.*table[i].member;
      if (!value) continue;
      One& one = ones[i];
      const std::string help(table[i].help);
      if (table[i].counter) {
        if (!one.counter) one.counter = &metrics.counter(series_name(table[i]), help, labels);
        // Less than before: the engine began anew.
        one.counter->add(*value >= one.last ? *value - one.last : *value);
        one.last = *value;
      } else {
        if (!one.gauge) one.gauge = &metrics.gauge(series_name(table[i]), help, labels);
        one.gauge->set(*value);
      }
    }
    if (!figures.sleep_state.empty()) show_sleep(figures.sleep_state);
    if (!adapters) {
      adapters = &metrics.gauge("llm_mcp_engine_adapters_running", "LoRA adapters that requests use now.", labels);
    }
    adapters->set(static_cast<double>(figures.running_adapters.size()));
  }

  void show_sleep(std::string_view state) {
    for (std::size_t i = 0; i < kSleepStates.size(); ++i) {
      if (!sleep[i]) {
        auto with_state = labels;
        with_state["state"] = kSleepStates[i];
        sleep[i] = &metrics.gauge("llm_mcp_engine_sleep_state", "1: the engine's state of sleep.", with_state);
      }
      sleep[i]->set(state == kSleepStates[i] ? 1 : 0);
    }
  }

  void gone() {
    for (const auto& one : ones) {
      if (one.gauge) one.gauge->set(0);
    }
    for (auto* gauge : sleep) {
      if (gauge) gauge->set(0);
    }
    if (adapters) adapters->set(0);
  }

  void count(bool good) {
    auto with_outcome = labels;
    with_outcome["outcome"] = good ? "ok" : "failed";
    metrics.counter("llm_mcp_engine_scrapes_total", "Times that the engine was asked for its metrics.", with_outcome)
        .add();
  }

  observe::Metrics& metrics;
  observe::MetricLabels labels;
  std::vector<One> ones;
  std::array<observe::Gauge*, kSleepStates.size()> sleep{};
  observe::Gauge* adapters = nullptr;
};

VllmScraper::VllmScraper(Loop& control, net::HttpClient& client, observe::Metrics& metrics,
                         VllmScraperSettings settings, Targets targets)
    : control_(control), client_(client), metrics_(metrics), settings_(settings), targets_(std::move(targets)) {}

VllmScraper::~VllmScraper() = default;

VllmScraper::Series& VllmScraper::series_of(const std::string& key) {
  auto& series = series_[key];
  if (!series) series = std::make_unique<Series>(metrics_, key);
  return *series;
}

Task<void> VllmScraper::scrape(std::string key, EngineInfo info, CancelToken cancel) {
  const VllmProbe probe(client_, info.endpoint, info.api_key, settings_.timeout);
  auto answer = co_await probe.get("/metrics", cancel);
  if (cancel.cancelled()) co_return;
  auto& series = series_of(key);
  const bool good = answer && answer->status == 200;
  series.count(good);
  if (good) {
    series.show(vllm_figures(answer->body));
  } else {
    series.gone();
  }
}

Task<void> VllmScraper::scrape_once(CancelToken cancel) {
  std::set<std::string> asked;
  for (auto& [key, info] : targets_()) {
    if (cancel.cancelled()) co_return;
    if (info.kind != dialects::ProviderKind::kVllm) continue;
    asked.insert(key);
    co_await scrape(key, info, cancel);
  }
  for (auto& [key, series] : series_) {
    if (!asked.contains(key)) series->gone();
  }
}

Task<void> VllmScraper::run(CancelToken cancel) {
  Event wake(control_.executor());
  Deadline pause([&wake] { wake.notify(); });
  const auto cancelled = cancel.on_cancel([&wake] { wake.notify(); });
  while (!cancel.cancelled()) {
    co_await scrape_once(cancel);
    if (cancel.cancelled()) co_return;
    control_.wheel().arm(pause, settings_.interval);
    co_await wake.wait();
  }
}

}  // namespace llm::engines
